"""A caller whose clock is wrong: requests of its own whose records have timestamps of a while ago, or of later."""

from __future__ import annotations

import itertools
import secrets
import time
from dataclasses import dataclass, field
from typing import cast

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from consumers.requests.admission import DEADLINE_HEADER, origin_of, read
from drills.evidence.history import Fault
from drills.evidence.offsets import ends_of
from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Kind, Target
from drills.faults.running_system import RunningSystem
from drills.params import Param
from schemas.codec import Codec, Encoding
from schemas.records import Result
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import ClusterError, DrillRejected, SchemaError
from standfast.core.services import resolved, spec_of

_WRITTEN_WITHIN_S = 10.0
_READ_S = 0.1  # of one look
_PATIENCE_MS = 60_000  # what a caller's deadline leaves, by its own clock
_SLACK_MS = 1000.0  # between the clocks of this process and of the worker


@dataclass(slots=True)
class _Seen:
    """What the topics have of the caller's requests: timestamps by request id, and answers."""

    written: dict[str, int] = field(default_factory=dict)
    answers: dict[str, Result] = field(default_factory=dict)


class SkewedCaller:
    """Sends `requests` requests, every second one with a deadline, by a clock that is wrong by `skew_s`.

    All of what it knows it reads from the two topics, from the offsets at which they ended before: so can another
    process. The drill's own load has the right time, and shows whether others are harmed.
    """

    name = "clock"

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        self._system = system
        self._aim = aim
        self._target = Target("caller", (), ())
        self._mark = f"skewed-{secrets.token_hex(8)}"
        self._skew_ms = int(float(aim.params["skew_s"]) * 1000)
        self._codec = Codec()
        self._consumer: Consumer | None = None
        self._seen = _Seen()

    def choose(self) -> Target:
        """The partitions, the mark of the requests, and where both topics end; raises DrillRejected without Kafka."""
        service = self._system.service
        try:
            consumer = self._opened()
            ends = [end for topic in (service.requests, service.results) for end in ends_of(consumer, topic)]
        except (KafkaException, ClusterError) as error:
            raise DrillRejected(f"nothing was injected: Kafka does not say where the topics end: {error}") from None
        hit = tuple(tuple(sorted(self._system.partitions(worker))) for worker in self._system.workers())
        places = " ".join(f"{end.topic}:{end.partition}:{end.offset}" for end in ends)
        self._target = Target("caller", (), hit, before={"mark": self._mark, "ends": places})
        return self._target

    def inject(self) -> Fault:
        """Sends the requests; raises DrillRejected if Kafka takes none."""
        service, at = self._system.service, time.monotonic()
        producer = Producer(clients.requests(self._system.settings, self._mark))
        make = resolved(spec_of(service.name).asked)(())
        partitions = itertools.cycle(self._target.partitions)
        now = int(time.time() * 1000) + self._skew_ms
        for number in range(int(self._aim.params["requests"])):
            request_id = f"{self._mark}-{number}"
            producer.produce(
                service.requests,
                self._codec.encode(make(request_id, 1 + number % service.max_k), Encoding.JSON),
                request_id.encode(),
                next(partitions),
                timestamp=now,
                headers=[(DEADLINE_HEADER, str(now + _PATIENCE_MS).encode())] if number % 2 else [],
            )
        fault = self._target.struck(self.name, at)
        producer.flush(_WRITTEN_WITHIN_S)
        return fault

    def injected(self, within_s: float) -> Finding:
        """Whether the request topic has records with such timestamps; a topic may be set to Kafka's own clock."""
        deadline = time.monotonic() + within_s
        while not self._seen.written and time.monotonic() < deadline:
            self._look()
        skews = [(at - time.time() * 1000) / 1000 for at in self._seen.written.values()]
        if not skews:
            return Finding("failed", f"no request of the caller is in the topic after {within_s:g} s")
        skew_s, meant_s = sum(skews) / len(skews), self._skew_ms / 1000
        text = f"{len(skews)} requests have timestamps {skew_s:+.0f} s from now ({meant_s:+g} s were meant)"
        is_skewed = abs(skew_s) > abs(meant_s) / 2 and skew_s * meant_s > 0
        return Finding("passed" if is_skewed else "failed", text)

    def lasted(self) -> bool:
        """Always True: what was sent is sent."""
        return True

    def undo(self) -> None:
        """Does nothing: the requests stay in the topic, and are answered."""

    def undone(self) -> Finding:
        """Whether each of the requests has an answer, none of them with a time that cannot be."""
        ends = ends_of(self._opened(), self._system.service.requests)
        self._look()
        begun = {(place.topic, place.partition): place.offset for place in self._places()}  # else the position is unset
        reached = [max(at.offset, begun[at.topic, at.partition]) for at in self._opened().position(ends)]
        if any(at < end.offset for at, end in zip(reached, ends, strict=True)):
            return Finding("unknown", "the topic of the requests is not read to its end yet")
        seen = self._seen
        if missing := seen.written.keys() - seen.answers.keys():
            text = f"{len(missing)} of {len(seen.written)} requests of the skewed caller have no answer"
            return Finding("failed", text)
        longest_ms = max(0.0, -self._skew_ms) + _SLACK_MS + _PATIENCE_MS
        odd = [result for result in seen.answers.values() if not 0 <= result.latency_ms <= longest_ms]
        counts: dict[str, int] = {}
        for result in seen.answers.values():
            counts[result.status] = counts.get(result.status, 0) + 1
        text = f"the skewed caller's {len(seen.written)} requests are answered: {counts}"
        if odd:
            return Finding("failed", f"{text}; {len(odd)} with an impossible latency_ms, such as {odd[0].latency_ms}")
        return Finding("passed", text)

    def resume(self, target: Target) -> Finding:
        """Whether such requests are in the topic."""
        self._target, self._mark = target, str(target.before["mark"])
        finding = self.injected(_READ_S)
        return finding if finding.check == "passed" else Finding("unknown", finding.text)

    def close(self) -> None:
        """Closes the consumer."""
        if self._consumer is not None:
            self._consumer.close()
        self._consumer = None

    def _opened(self) -> Consumer:
        if self._consumer is None:
            self._consumer = Consumer(clients.answers(self._system.settings, self._mark))
        return self._consumer

    def _places(self) -> list[TopicPartition]:
        return [_place(text) for text in str(self._target.before["ends"]).split()]

    def _look(self) -> None:
        """Reads on in both topics."""
        consumer = self._opened()
        if not consumer.assignment():
            consumer.assign(self._places())
        mark = self._mark.encode()
        for message in cast("list[Consumed]", consumer.consume(10_000, _READ_S)):
            if message.error() is None and mark in (message.value() or b""):
                self._note(message)

    def _note(self, message: Consumed) -> None:
        if message.topic() == self._system.service.requests:
            self._seen.written[(message.key() or b"").decode(errors="replace")] = message.timestamp()[1]
            return
        try:
            result, _ = read(origin_of(message), self._codec, Result)
        except SchemaError:
            return
        self._seen.answers[result.request_id] = result


def _place(text: str) -> TopicPartition:
    topic, partition, offset = text.rsplit(":", 2)
    return TopicPartition(topic, int(partition), int(offset))


CLOCK = Kind(
    "clock",
    "requests of a caller whose clock is wrong",
    SkewedCaller,
    undo="nothing is left behind but answered requests; the drill checks that each has an answer",
    params=(
        Param("skew_s", -120.0, "how far its clock is off: below 0 late, above 0 early", -3500, 3500),
        Param("requests", 40, "how many it sends", 1, 10_000),
    ),
)
