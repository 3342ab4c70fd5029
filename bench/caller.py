"""A closed-loop caller: keeps a number of requests in flight, and times each from sending to its committed answer."""

from __future__ import annotations

import itertools
import time
import uuid
from dataclasses import dataclass, field

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from consumers.service import Service
from drills.places import bounds, partitions_of
from drills.shop_words import QUERIES, USERS
from standfast import clients
from standfast.errors import NoAnswer
from standfast.settings import Settings

_PATIENCE_S = 60.0


class _Answer(msgspec.Struct):
    request_id: str
    status: str


@dataclass(slots=True)
class Timings:
    """What a run of the caller saw: seconds for each answer, in the order of the answers, and for all of them."""

    seconds: list[float] = field(default_factory=list)
    elapsed: float = 0.0
    not_ok: int = 0
    doubled: int = 0


class ClosedLoop:
    """One producer and one read_committed reader, used for as many runs as wanted."""

    def __init__(self, settings: Settings, service: Service) -> None:
        self._service = service
        self._producer = Producer(clients.producer(settings, "standfast-bench"))
        self._consumer = Consumer(clients.follower(settings, "standfast-bench"))
        self._partitions = partitions_of(self._producer, service.requests)
        self._words = itertools.cycle(QUERIES if service.name == "search" else USERS)
        ends = [
            TopicPartition(service.results, number, bounds(self._consumer, service.results, number)[1])
            for number in range(partitions_of(self._consumer, service.results))
        ]
        self._consumer.assign(ends)
        self._decoder = msgspec.json.Decoder(_Answer)

    def run(self, requests: int, in_flight: int) -> Timings:
        """Sends so many requests, never more than `in_flight` unanswered; raises NoAnswer after 60 s without one."""
        prefix = uuid.uuid4().hex[:8]
        sent: dict[str, float] = {}
        seen: set[str] = set()
        timings = Timings()
        began = time.perf_counter()
        number = 0
        while len(seen) < requests:
            while number < requests and len(sent) < in_flight:
                self._send(f"{prefix}-{number}", number, sent)
                number += 1
            for request_id, status, at in self._answers(prefix):
                if request_id in seen:
                    timings.doubled += 1
                    continue
                seen.add(request_id)
                timings.seconds.append(at - sent.pop(request_id))
                timings.not_ok += status != "ok"
        timings.elapsed = time.perf_counter() - began
        return timings

    def close(self) -> None:
        """Closes both clients."""
        self._producer.flush(5)
        self._consumer.close()

    def _send(self, request_id: str, number: int, sent: dict[str, float]) -> None:
        word = next(self._words)
        named = {"query": word} if self._service.name == "search" else {"user_id": word}
        value = msgspec.json.encode({"request_id": request_id, "k": 10, **named})
        sent[request_id] = time.perf_counter()
        self._producer.produce(self._service.requests, value, request_id, number % self._partitions)
        self._producer.poll(0)

    def _answers(self, prefix: str) -> list[tuple[str, str, float]]:
        first = self._consumer.poll(_PATIENCE_S)
        if first is None:
            raise NoAnswer(f"no answer on {self._service.results} for {_PATIENCE_S:.0f} s; see `standfast status`")
        found = []
        for message in (first, *self._consumer.consume(1000, 0)):
            if message.error() is None:
                answer = self._decoder.decode(message.value())
                if answer.request_id.startswith(prefix):
                    found.append((answer.request_id, answer.status, time.perf_counter()))
        return found
