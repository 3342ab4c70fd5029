"""An open-loop client: it sends requests at a fixed rate, each with a deadline, however slow the answers are."""

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

_PATIENCE_S = 60.0  # without any answer


class _TimedAnswer(msgspec.Struct):
    request_id: str
    status: str


@dataclass(slots=True)
class OpenLoopRun:
    """The result of one run. Times are seconds; `in_time` are the latencies of good answers before their deadline."""

    sent: int = 0
    sending_s: float = 0.0
    drained_s: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    in_time: list[float] = field(default_factory=list)
    doubled: int = 0


class OpenLoop:
    """One producer and one read_committed reader, for one run."""

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
        """Sends the requests at `rate` per second and waits until all are answered, or none was for 60 s."""
        result = OpenLoopRun(sent=len(requests))
        sent_at = [0.0] * len(requests)
        answered: set[int] = set()
        began = last = time.perf_counter()
        number = 0
        while len(answered) < len(requests) and time.perf_counter() - last < _PATIENCE_S:
            due = min(len(requests), int((time.perf_counter() - began) * rate) + 1)
            while number < due:
                sent_at[number] = self._send(number, requests[number])
                number += 1
            if number == len(requests) and not result.sending_s:
                result.sending_s = time.perf_counter() - began
            if self._read(result, sent_at, answered):
                last = time.perf_counter()
        result.drained_s = last - began - result.sending_s
        return result

    def close(self) -> None:
        """Closes both clients."""
        self._producer.flush(5)
        self._consumer.close()

    def _send(self, number: int, request: Request) -> float:
        request_id = f"{self._prefix}-{number}"
        value = msgspec.json.encode(msgspec.structs.replace(request, request_id=request_id))
        deadline = str(int((time.time() + self._deadline_s) * 1000)).encode()
        at = time.perf_counter()
        headers: list[tuple[str, str | bytes | None]] = [(DEADLINE_HEADER, deadline)]
        self._producer.produce(self._service.requests, value, request_id, number % self._partitions, headers=headers)
        self._producer.poll(0)
        return at

    def _read(self, result: OpenLoopRun, sent_at: Sequence[float], answered: set[int]) -> int:
        messages = [message for message in self._consumer.consume(500, 0.002) if message.error() is None]
        now = time.perf_counter()
        for message in messages:
            answer = self._decoder.decode(message.value() or b"")
            run, _, index = answer.request_id.rpartition("-")
            if run == self._prefix:
                self._note(result, int(index), answer.status, now - sent_at[int(index)], answered)
        return len(messages)

    def _note(self, result: OpenLoopRun, index: int, status: str, seconds: float, answered: set[int]) -> None:
        if index in answered:
            result.doubled += 1
            return
        answered.add(index)
        result.statuses[status] += 1
        if status == "ok" and seconds <= self._deadline_s:
            result.in_time.append(seconds)
