"""Handles the death of a process: ends its transaction, and marks the records that it was computing.

Nothing here raises for a full disk or a broken file: the dead process is replaced all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from consumers.channel.heartbeat import RecordId
from consumers.channel.messages import Recreated, Suspected
from consumers.process.worker_process import suspects_file
from consumers.service import Service
from consumers.serving.suspects import Suspects
from consumers.supervision.member import Member
from consumers.supervision.member_state import Exited
from consumers.supervision.outside_kills import OutsideKills
from standfast.core import clients, telemetry
from standfast.core.errors import DeviceLost, WeightsDamaged
from standfast.core.processes.child import signal_name
from standfast.core.settings import Settings
from standfast.core.topics.topic_ids import identity_of

_log = structlog.get_logger()
LOGGED_RECORDS = 64  # the most in one log line
_ASK_S = 3.0
_ASK_AGAIN_S = 5.0
_REASONS = {0: "stopped", WeightsDamaged.exit_code: "damaged", DeviceLost.exit_code: "device_lost"}


class Aftermath:
    """For one service; called on the supervisor's asyncio loop. What would block runs in threads."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self._threads = ThreadPoolExecutor(8, thread_name_prefix=f"fence-{service.name}")
        self._suspects = Suspects(suspects_file(service), (service.requests, service.bulk_requests))
        self._outside = OutsideKills()
        self._admin: AdminClient | None = None
        self._being_fenced: set[str] = set()

    def prepare(self, member: Member) -> None:
        """Connects, in the background, the client that will fence this process when it dies."""
        if self._settings.workers.delivery == "exactly_once":
            self._threads.submit(member.arm, self._settings, self._service)

    def fence(self, member: Member) -> None:
        """Fences a dead process's transactional id in the background; its slot is free again afterwards."""
        if member.fence is None:
            return
        self._being_fenced.add(member.slot)
        future = self._threads.submit(member.fence.fence)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._being_fenced.discard, member.slot))

    def is_being_fenced(self, slot: str) -> bool:
        """Whether a dead process of this slot is still being fenced, so that the slot must not be used again yet."""
        return slot in self._being_fenced

    def blame(self, member: Member) -> tuple[RecordId, ...]:
        """Marks and returns the records that the process was computing when it died.

        If the process hung and was killed for it, the death counts in full, whatever its exit status says.
        """
        try:
            computing = member.heartbeat.read().computing
        except (OSError, ValueError) as error:
            _log.error("nobody knows what a dead worker was computing", worker=member.name, error=str(error))
            return ()
        self._suspects.blame(computing)
        self._relieve(self._outside.died(member.pid, () if member.hung else computing))
        return computing

    def died_of_challenger(self, member: Member) -> bool:
        """Whether the challenger was computing when the process died."""
        try:
            return member.heartbeat.read().challenged
        except (OSError, ValueError):
            return False  # which `blame` has logged

    def ended(self, event: Exited) -> bool:
        """Takes half of the death back from the process's records if it was killed from outside; whether it did."""
        return self._relieve(self._outside.ended(event.pid, event.status))

    def _relieve(self, records: tuple[RecordId, ...]) -> bool:
        if not records:
            return False
        self._suspects.relieve(records)
        _log.info("a worker was killed from outside; its records count half", records=len(records))
        self._threads.submit(self._suspects.save)
        return True

    def log_blamed(self, worker: str, records: tuple[RecordId, ...]) -> None:
        """Logs the records that `blame` returned, and saves the suspects in the background.

        Apart from `blame`, so that the successor can be activated in between.
        """
        _log.warning(
            "records were being computed when their worker died",
            worker=worker,
            records=len(records),
            places=records[:LOGGED_RECORDS],
        )
        self._threads.submit(self._suspects.save)

    def clear(self, records: list[RecordId]) -> None:
        """Forgets records that are committed, and saves the suspects in the background."""
        self._suspects.clear(records)
        self._threads.submit(self._suspects.save)

    def suspected(self) -> Suspected:
        """The message that tells workers which records may kill them."""
        return Suspected([(*record, deaths) for record, deaths in self._suspects.read().items()])

    def watch_topics(self, tell: Callable[[Suspected | Recreated], None]) -> None:
        """Looks up the ids of the request topics every 5 s, in the background; has the workers told when one changes.

        It also looks for processes that the kernel has killed.
        """
        self._outside.look()
        loop = asyncio.get_running_loop()
        self._threads.submit(self._identify, loop, tell)
        loop.call_later(_ASK_AGAIN_S, self.watch_topics, tell)

    def _identify(self, loop: asyncio.AbstractEventLoop, tell: Callable[[Suspected | Recreated], None]) -> None:
        self._admin = self._admin or AdminClient(clients.base(self._settings, f"{self._service.name}-topics"))
        for topic in (self._service.requests, self._service.bulk_requests):
            try:
                topic_id = identity_of(self._admin, topic, _ASK_S).topic_id
            except KafkaException as error:
                _log.debug("a topic's id is not known", topic=topic, error=str(error))
            else:
                loop.call_soon_threadsafe(self._identified, topic, topic_id, tell)

    def _identified(self, topic: str, topic_id: str, tell: Callable[[Suspected | Recreated], None]) -> None:
        before = self._suspects.topic_id(topic)
        if before not in {None, topic_id}:
            # librdkafka goes on at the old topic's offset if the new topic has that many records by then.
            _log.warning("a request topic was deleted and made again", topic=topic, before=before, now=topic_id)
            tell(Recreated())
        if self._suspects.identify(topic, topic_id):
            tell(self.suspected())

    def record(self, event: Exited, *, expected: bool) -> None:
        """Logs and counts how a process ended."""
        reason = _why(event.status)
        telemetry.RESTARTS.labels(self._service.name, reason).inc()
        if event.status == WeightsDamaged.exit_code:
            telemetry.DAMAGED_WEIGHTS.labels(self._service.name, "worker").inc()
        (_log.info if expected else _log.warning)("process ended", slot=event.slot, pid=event.pid, reason=reason)

    def close(self) -> None:
        """Drops what has not begun; returns at once."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _why(status: int) -> str:
    return signal_name(-status) if status < 0 else _REASONS.get(status, "failed")
