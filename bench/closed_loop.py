"""A closed-loop caller through Kafka: keeps a number of requests in flight and times each to its committed answer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence

import msgspec
from confluent_kafka import Consumer, Message, Producer

from bench.requests import Request
from bench.timings import Timings
from consumers.service import Service
from drills.evidence.offsets import ends_of, partitions_of
from standfast.core import clients
from standfast.core.errors import NoAnswer
from standfast.core.settings import Settings

_PATIENCE_S = 60.0
_WATCH_S = 0.5


class _KafkaAnswer(msgspec.Struct):
    request_id: str
    status: str


class ClosedLoop:
    """One producer and one read_committed reader, used for as many runs as wanted.

    `watch` is called about twice a second while nothing is answered, and may raise what ends the wait. Each request
    has the `headers`.
    """

    def __init__(
        self,
        settings: Settings,
        service: Service,
        watch: Callable[[], None] = lambda: None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        self._service = service
        self._watch = watch
        self._headers: list[tuple[str, str | bytes | None]] = list(headers)
        self._producer = Producer(clients.producer(settings, "standfast-bench"))
        self._consumer = Consumer(clients.follower(settings, "standfast-bench"))
        self._partitions = partitions_of(self._producer, service.requests)
        self._consumer.assign(ends_of(self._consumer, service.results))
        self._decoder = msgspec.json.Decoder(_KafkaAnswer)

    def run(self, requests: Sequence[Request], in_flight: int, patience_s: float = _PATIENCE_S) -> Timings:
        """Sends them in order, never more than `in_flight` unanswered; raises NoAnswer after a time without one."""
        prefix = uuid.uuid4().hex[:8]
        sent = [0.0] * len(requests)
        seen: set[int] = set()
        timings = Timings(seconds=[0.0] * len(requests))
        began = time.perf_counter()
        number = 0
        while len(seen) < len(requests):
            while number < len(requests) and number - len(seen) < in_flight:
                sent[number] = self._send(f"{prefix}-{number}", number, requests[number])
                number += 1
            for place, status, at in self._answers(prefix, patience_s):
                if place in seen:
                    timings.doubled += 1
                    continue
                seen.add(place)
                timings.seconds[place] = at - sent[place]
                timings.not_ok += status != "ok"
        timings.elapsed = time.perf_counter() - began
        return timings

    def close(self) -> None:
        """Closes both clients."""
        self._producer.flush(5)
        self._consumer.close()

    def _send(self, request_id: str, number: int, request: Request) -> float:
        """Produces one request; the moment it was begun."""
        at = time.perf_counter()
        value = msgspec.json.encode(msgspec.structs.replace(request, request_id=request_id))
        self._producer.produce(
            self._service.requests, value, request_id, number % self._partitions, headers=self._headers
        )
        self._producer.poll(0)
        return at

    def _answers(self, prefix: str, patience_s: float) -> list[tuple[int, str, float]]:
        found = []
        for message in (self._first(patience_s), *self._consumer.consume(1000, 0)):
            if message.error() is None:
                answer = self._decoder.decode(message.value() or b"")
                run, _, place = answer.request_id.rpartition("-")
                if run == prefix:
                    found.append((int(place), answer.status, time.perf_counter()))
        return found

    def _first(self, patience_s: float) -> Message:
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            first = self._consumer.poll(_WATCH_S)
            if first is not None:
                return first
            self._watch()
        raise NoAnswer(f"no answer on {self._service.results} for {patience_s:.0f} s; see `standfast status`")
