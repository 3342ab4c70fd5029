"""A closed-loop client of Kafka: it keeps a number of requests in flight and times each to its committed answer."""

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

_PATIENCE_S = 60.0  # without any answer
_WATCH_S = 0.5  # between two calls of `watch`


class _KafkaAnswer(msgspec.Struct):
    request_id: str
    status: str


class ClosedLoop:
    """One producer and one read_committed reader, for any number of runs.

    `watch` is called about twice a second while no answer comes; an exception that it raises ends the run. Each request
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
        """Sends the requests in order, at most `in_flight` unanswered; raises NoAnswer after `patience_s`."""
        prefix = uuid.uuid4().hex[:8]
        sent = [0.0] * len(requests)
        answered: set[int] = set()
        timings = Timings(seconds=[0.0] * len(requests))
        began = time.perf_counter()
        number = 0
        while len(answered) < len(requests):
            while number < len(requests) and number - len(answered) < in_flight:
                sent[number] = self._send(f"{prefix}-{number}", number, requests[number])
                number += 1
            for index, status, at in self._answers(prefix, patience_s):
                if index in answered:
                    timings.doubled += 1
                    continue
                answered.add(index)
                timings.seconds[index] = at - sent[index]
                timings.not_ok += status != "ok"
        timings.elapsed = time.perf_counter() - began
        return timings

    def close(self) -> None:
        """Closes both clients."""
        self._producer.flush(5)
        self._consumer.close()

    def _send(self, request_id: str, number: int, request: Request) -> float:
        """Produces one request; returns when (perf_counter) that began."""
        at = time.perf_counter()
        value = msgspec.json.encode(msgspec.structs.replace(request, request_id=request_id))
        self._producer.produce(
            self._service.requests, value, request_id, number % self._partitions, headers=self._headers
        )
        self._producer.poll(0)
        return at

    def _answers(self, prefix: str, patience_s: float) -> list[tuple[int, str, float]]:
        answers = []
        for message in (self._first(patience_s), *self._consumer.consume(1000, 0)):
            if message.error() is None:
                answer = self._decoder.decode(message.value() or b"")
                run, _, index = answer.request_id.rpartition("-")
                if run == prefix:
                    answers.append((int(index), answer.status, time.perf_counter()))
        return answers

    def _first(self, patience_s: float) -> Message:
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            first = self._consumer.poll(_WATCH_S)
            if first is not None:
                return first
            self._watch()
        raise NoAnswer(f"no answer on {self._service.results} for {patience_s:.0f} s; see `standfast status`")
