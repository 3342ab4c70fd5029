"""Reading the outcome stream: all of it up to now, or what comes next."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumers.requests.admission import origin_of, read
from drills.control.events import bounded
from drills.evidence.offsets import bounds, partitions_of
from drills.running.plan import is_id
from schemas.codec import Codec, Encoding
from schemas.records import DrillEvent
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import ClusterError, SchemaError, Unreadable
from standfast.core.kafka_errors import error_of
from standfast.core.processes import role_word
from standfast.core.settings import Settings

TOPIC = "drills.results"
_TIMEOUT_S = 10.0
_LATEST_MS = 253_402_300_799_000 - 86_400_000  # the last day but one that a date can be, in every time zone
_LARGEST = 1e15
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One event, and how it was written."""

    event: DrillEvent
    encoding: Encoding


class Outcomes:
    """A reader of the outcome stream that sees committed events only. Close it."""

    def __init__(self, settings: Settings, codec: Codec, client_id: str) -> None:
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._codec = codec
        # The group is only a name: partitions are assigned and nothing is ever committed.
        quick = {"enable.partition.eof": True, "fetch.wait.max.ms": 20}  # the end is told with an empty fetch
        config = clients.consumer(settings, client_id, client_id, **quick)
        self._consumer = Consumer(config)
        self._servers = settings.kafka.bootstrap_servers
        self._left = 0

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()

    def from_the_start(self) -> list[Outcome]:
        """Everything there is, each drill's events in order; raises ClusterError if Kafka does not answer."""
        partitions = self._assign(at_end=False)
        outcomes: list[Outcome] = []
        self._left = 0
        silent_since = time.monotonic()
        while partitions:
            role_word.beat()
            message = cast("Consumed | None", self._consumer.poll(0.5))
            if message is None:
                if time.monotonic() - silent_since > _TIMEOUT_S:
                    raise ClusterError(f"Kafka at {self._servers} stopped answering while {self._topic} was read")
                continue
            silent_since = time.monotonic()
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                partitions.discard(message.partition())
            elif error is None and (outcome := self._decoded(message)):
                outcomes.append(outcome)
        if self._left:
            _log.warning("records that are no drill events were left", topic=self._topic, records=self._left)
        return outcomes

    def go_to_end(self) -> None:
        """From here on `following` gives only what is written after this moment."""
        self._assign(at_end=True)

    def following(self, drill_id: str, within_s: float) -> Iterator[DrillEvent]:
        """This drill's events as they come; ends after `within_s` without one."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            message = cast("Consumed | None", self._consumer.poll(0.2))
            if message is None or message.error() is not None:
                continue
            outcome = self._decoded(message)
            if outcome and outcome.event.drill_id == drill_id:
                yield outcome.event
                until = time.monotonic() + within_s

    def _assign(self, *, at_end: bool) -> set[int]:
        try:
            numbers = range(partitions_of(self._consumer, self._topic))
            places = [TopicPartition(self._topic, number, self._place(number, at_end)) for number in numbers]
        except KafkaException as error:
            raise ClusterError(
                f"Kafka at {self._servers} does not answer ({error_of(error).str()}); is a system running? standfast up"
            ) from None
        self._consumer.assign(places)
        return set(numbers)

    def _place(self, partition: int, at_end: bool) -> int:
        role_word.beat()  # each may take 20 s while brokers elect leaders
        low, high = bounds(self._consumer, self._topic, partition)
        return high if at_end else low

    def _decoded(self, message: Consumed) -> Outcome | None:
        """The event in a record; None, and the first of them with a log line, for what is none."""
        try:
            event, encoding = read(origin_of(message), self._codec, DrillEvent)
            refuse_unusual(event)
        except SchemaError as error:
            if not self._left:
                _log.warning("not a drill event", topic=self._topic, offset=message.offset(), error=str(error))
            self._left += 1
            return None
        return Outcome(bounded(event), encoding)


def refuse_unusual(event: DrillEvent) -> None:
    """Raises Unreadable for an event that no runner writes, and that reports could not show: anybody may write one."""
    if not is_id(event.drill_id):
        raise Unreadable(f"drill_id = {event.drill_id!r:.200}: no drill can have this id")
    if not 0 <= event.at <= _LATEST_MS:
        raise Unreadable(f"at = {event.at!s:.40}: it must be epoch milliseconds")
    spans = (event.latency_before, event.latency_during, event.latency_after)
    times = [ms for span in spans if span for ms in (span.count, span.p50_ms, span.p99_ms, span.max_ms)]
    figures = [event.rto_ms, event.score, event.lost, event.duplicated, event.out_of_order, *times]
    if any(figure is not None and not 0 <= figure <= _LARGEST for figure in figures):
        raise Unreadable("a figure is negative, no number or out of all proportion")
