"""An open loop: requests at a rate of its own, each with a deadline, whatever becomes of the answers."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from confluent_kafka import Consumer, Producer

from bench.requests import Request
from consumers.requests.admission import DEADLINE_HEADER
from consumers.service import Service
from drills.evidence.offsets import ends_of, partitions_of
from standfast.core import clients
from standfast.core.settings import Settings

_PATIENCE_S = 60.0


class _TimedAnswer(msgspec.Struct):
    request_id: str
    status: str


@dataclass(slots=True)
class OpenLoopRun:
    """What came of a flood. Seconds; `in_time` are those of good answers that came before their deadline."""

    sent: int = 0
    sending_s: float = 0.0
    drained_s: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    in_time: list[float] = field(default_factory=list)
    doubled: int = 0


class OpenLoop:
    """One producer and one read_committed reader."""

    def __init__(self, settings: Settings, service: Service, deadline_s: float) -> None:
        self._service = service
        self._deadline_s = deadline_s
        self._producer = Producer(clients.producer(settings, "standfast-flood"))
        self._consumer = Consumer(clients.follower(settings, "standfast-flood"))
        self._partitions = partitions_of(self._producer, service.requests)
        self._consumer.assign(ends_of(self._consumer, service.results))
        self._decoder = msgspec.json.Decoder(_TimedAnswer)
        self._prefix = uuid.uuid4().hex[:8]

    def run(self, requests: Sequence[Request], rate: float) -> OpenLoopRun:
        """Sends them at that rate and waits until each has its answer, or none has come for 60 s."""
        seen = OpenLoopRun(sent=len(requests))
        sent_at = [0.0] * len(requests)
        answered: set[int] = set()
        began = last = time.perf_counter()
        number = 0
        while len(answered) < len(requests) and time.perf_counter() - last < _PATIENCE_S:
            due = min(len(requests), int((time.perf_counter() - began) * rate) + 1)
            while number < due:
                sent_at[number] = self._send(number, requests[number])
                number += 1
            if number == len(requests) and not seen.sending_s:
                seen.sending_s = time.perf_counter() - began
            if self._read(seen, sent_at, answered):
                last = time.perf_counter()
        seen.drained_s = last - began - seen.sending_s
        return seen

    def close(self) -> None:
        """Closes both clients."""
        self._producer.flush(5)
        self._consumer.close()

    def _send(self, number: int, request: Request) -> float:
        name = f"{self._prefix}-{number}"
        value = msgspec.json.encode(msgspec.structs.replace(request, request_id=name))
        deadline = str(int((time.time() + self._deadline_s) * 1000)).encode()
        at = time.perf_counter()
        headers: list[tuple[str, str | bytes | None]] = [(DEADLINE_HEADER, deadline)]
        self._producer.produce(self._service.requests, value, name, number % self._partitions, headers=headers)
        self._producer.poll(0)
        return at

    def _read(self, seen: OpenLoopRun, sent_at: Sequence[float], answered: set[int]) -> int:
        messages = [one for one in self._consumer.consume(500, 0.002) if one.error() is None]
        now = time.perf_counter()
        for message in messages:
            answer = self._decoder.decode(message.value() or b"")
            run, _, place = answer.request_id.rpartition("-")
            if run == self._prefix:
                self._note(seen, int(place), answer.status, now - sent_at[int(place)], answered)
        return len(messages)

    def _note(self, seen: OpenLoopRun, place: int, status: str, seconds: float, answered: set[int]) -> None:
        if place in answered:
            seen.doubled += 1
            return
        answered.add(place)
        seen.statuses[status] += 1
        if status == "ok" and seconds <= self._deadline_s:
            seen.in_time.append(seconds)
