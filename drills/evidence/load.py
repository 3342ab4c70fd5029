"""The drill's load: requests at a fixed rate over all partitions, and a read_committed reader of their answers.

It is an open loop: the rate does not fall when the system is slow, so an outage shows as late answers, not as fewer
requests.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import cast

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from consumers.requests.admission import DEADLINE_HEADER, origin_of, read
from consumers.service import Service
from drills.evidence.copies import copies, with_copies
from drills.evidence.history import Fault, History, Request, Sent, Sighting
from drills.evidence.offsets import ends_of, partitions_of
from drills.evidence.recorder import Recorder
from drills.evidence.shop_words import MakeRequest
from schemas.codec import Codec, Encoding
from schemas.records import Result
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import ClusterError, DrillRejected, SchemaError
from standfast.core.services import resolved, spec_of
from standfast.core.settings import Settings

_TIMEOUT_S = 10.0  # for the delivery of the last requests, and for each thread to end
_TICK_S = 0.005  # longest wait of the sending thread, so that extra requests go out at once
_NUMBERS_OF_ITEMS = 23  # so many successive requests differ in `k`; a prime, so that those of one partition do too
# An idempotent producer that gives up one record numbers the later ones anew, and Kafka accepts again what it already
# has of them: after a system was killed and started again on a busy machine, 138 and 263 requests were written twice.
_NEVER_GIVES_UP = {"message.timeout.ms": 0}
_POSSIBLY_WRITTEN = {KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError._PURGE_INFLIGHT}  # noqa: SLF001
_log = structlog.get_logger()


class Load:
    """Sends from `start` until `stop_sending`, reads until `close`. `words`: queries or user ids; empty: the shop's."""

    def __init__(
        self,
        settings: Settings,
        service: Service,
        drill_id: str,
        rate: float,
        words: tuple[str, ...],
        deadline_ms: float = 0.0,
    ) -> None:
        self._settings = settings
        self._service = service
        self._prefix = f"{drill_id}-"
        self._prefix_bytes = self._prefix.encode()
        self._period = 1 / rate
        self._deadline_ms = deadline_ms
        self._make_request: MakeRequest = resolved(spec_of(service.name).asked)(words)
        self._codec = Codec()
        self._recorder = Recorder()
        self._extra_partitions: deque[int] = deque()
        self._stop_sending = threading.Event()
        self._stop_reading = threading.Event()
        self._threads: list[threading.Thread] = []
        self._broken: str | None = None

    def start(self) -> None:
        """Opens the clients and begins to send; blocks for about 10 s at most. Raises DrillRejected without Kafka."""
        name = f"standfast-drill-{self._prefix}"
        self._producer = Producer(clients.requests(self._settings, name, **_NEVER_GIVES_UP))
        self._consumer = Consumer(clients.answers(self._settings, name))
        try:
            self._partitions = partitions_of(self._producer, self._service.requests)
            self._start_offsets = ends_of(self._consumer, self._service.requests)
            # Assigned at the present ends before the first request is sent, so that no answer is missed.
            self._consumer.assign(ends_of(self._consumer, self._service.results))
        except (KafkaException, ClusterError) as error:
            self._consumer.close()
            raise DrillRejected(f"the load could not be started: {error}") from None
        for work in (self._send, self._read):
            thread = threading.Thread(target=self._run_guarded, args=(work,), daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def broken(self) -> str | None:
        """Why the load failed, None if it did not; the history of a failed load is no evidence."""
        return self._broken

    def send_now(self, partitions: Iterable[int]) -> None:
        """Sends one extra request to each of these partitions at once."""
        self._extra_partitions.extend(partitions)

    def struck(self, fault: Fault) -> None:
        """Records that this fault was injected."""
        self._recorder.struck(fault)

    def healed(self, fault: Fault, at: float) -> None:
        """Records that the fault was undone at `at` (monotonic)."""
        self._recorder.healed(fault, at)

    def unanswered(self, invoked_before: float | None = None) -> int:
        """How many requests may still be answered: of all, or of those sent before `invoked_before`."""
        return self._recorder.unanswered(invoked_before)

    def recovered(self) -> bool:
        """Whether every partition that a fault hit has answered a request sent after it."""
        return self._recorder.recovered()

    def so_far(self) -> History:
        """What was sent and read up to now; asks Kafka for nothing."""
        return self._recorder.history()

    def history(self) -> History:
        """What was sent and read up to now.

        If a request has several answers, this reads the request topic to find out how often each request was written,
        which may take some seconds. If it cannot be read, the load counts as broken.
        """
        history = self._recorder.history()
        if all(len(request.answers) < 2 for request in history.requests):
            return history
        try:
            return with_copies(history, copies(self._settings, self._prefix, self._start_offsets))
        except (KafkaException, ClusterError) as error:
            self._broken = f"how often requests were written is not known: {error}"
            return history

    def stop_sending(self) -> None:
        """Stops sending; answers are still read."""
        self._stop_sending.set()

    def close(self) -> None:
        """Stops both threads and the clients; blocks for a few seconds at most."""
        self._stop_sending.set()
        self._stop_reading.set()
        for thread in self._threads:
            thread.join(_TIMEOUT_S)
        if self._threads:
            self._producer.purge()
            self._producer.flush(1)

    def _run_guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the verdict must know of every failure of the load
            self._broken = f"{type(error).__name__}: {error}"
            _log.exception("the drill's load stopped")

    def _send(self) -> None:
        partitions = itertools.cycle(range(self._partitions))
        numbers = itertools.count()
        due = time.monotonic()
        while not self._stop_sending.is_set():
            now = time.monotonic()
            while self._extra_partitions:
                self._send_one(next(numbers), self._extra_partitions.popleft(), now)
            if now >= due:
                self._send_one(next(numbers), next(partitions), due)
                due += self._period
            self._producer.poll(max(0.0, min(_TICK_S, due - time.monotonic())))
        self._finish_sending()

    def _send_one(self, number: int, partition: int, due: float) -> None:
        request_id = f"{self._prefix}{number}"
        k = 1 + number % min(_NUMBERS_OF_ITEMS, self._service.max_k)
        value = self._codec.encode(self._make_request(request_id, k), Encoding.JSON)
        self._recorder.invoked(Request(request_id, partition, due=due, invoked=time.monotonic(), k=k))

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            self._recorder.sent(request_id, *outcome(error, message.offset()))

        try:
            self._producer.produce(
                self._service.requests,
                value,
                request_id.encode(),
                partition,
                on_delivery=on_delivery,
                headers=self._headers(),
            )
        except BufferError:
            self._recorder.sent(request_id, "failed")

    def _headers(self) -> dict[str, str | bytes | None]:
        """The deadline that a request gets which is sent now; empty without one."""
        if not self._deadline_ms:
            return {}
        return {DEADLINE_HEADER: str(int(time.time() * 1000 + self._deadline_ms))}

    def _finish_sending(self) -> None:
        deadline = time.monotonic() + _TIMEOUT_S
        while len(self._producer) and time.monotonic() < deadline and not self._stop_reading.is_set():
            self._producer.poll(_TICK_S)

    def _read(self) -> None:
        while not self._stop_reading.is_set():
            message = cast("Consumed | None", self._consumer.poll(0.1))
            if message is not None and message.error() is None:
                self._note_answer(message, time.monotonic())
        self._consumer.close()

    def _note_answer(self, message: Consumed, at: float) -> None:
        value = message.value()
        if not value or self._prefix_bytes not in value:
            return
        try:
            origin = origin_of(message)
            result, _ = read(origin, self._codec, Result)
        except SchemaError:
            return
        if result.request_id.startswith(self._prefix):
            written_ms, items = origin.timestamp_ms, len(result.items)
            worker = sys.intern(result.worker)  # one text for all answers of a worker
            sighting = Sighting(at, origin.partition, origin.offset, result.status, worker, written_ms, items)
            self._recorder.seen(result.request_id, sighting)


def outcome(error: KafkaError | None, offset: int | None) -> tuple[Sent, int]:
    """How sending a request ended, and its record's offset, -1 if it is unknown.

    Kafka reports no offset for a record that was retried after a broker died and whose first attempt was written.
    """
    if error is None:
        return "acked", -1 if offset is None else offset
    return ("unknown" if error.code() in _POSSIBLY_WRITTEN else "failed"), -1
