"""Reading the outcome stream: from its start to its end now, or from its end on."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import cast

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from consumers.requests.admission import origin_of, read
from drills.control.events import FINAL, bounded
from drills.evidence.offsets import bounds, partitions_of
from drills.running.plan import is_id
from schemas.codec import Codec, Encoding
from schemas.records import DrillEvent
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import ClusterError, SchemaError, Unreadable
from standfast.core.kafka_errors import error_of, is_partition_end
from standfast.core.processes import role_word
from standfast.core.settings import Settings

TOPIC = "drills.results"
_TIMEOUT_S = 10.0  # without any record or end of partition, while the stream is read from its start
_LATEST_MS = 253_402_300_799_000 - 86_400_000  # a day before the end of year 9999, datetime's last, in every time zone
_LARGEST = 1e15  # a figure above this was written by no runner; reports could not show it
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One event and the encoding it was written in."""

    event: DrillEvent
    encoding: Encoding


class Outcomes:
    """A read_committed reader of the outcome stream. Close it."""

    def __init__(self, settings: Settings, codec: Codec, client_id: str) -> None:
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._codec = codec
        # librdkafka wants a group.id; nothing is committed for it, because partitions are assigned by hand.
        quick = {"enable.partition.eof": True, "fetch.wait.max.ms": 20}  # an end of partition comes with an empty fetch
        config = clients.consumer(settings, client_id, client_id, **quick)
        self._consumer = Consumer(config)
        self._servers = settings.kafka.bootstrap_servers
        self._skipped = 0

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()

    def from_the_start(self) -> list[Outcome]:
        """All events up to the present end, each drill's in order; raises ClusterError if Kafka does not answer."""
        partitions = self._assign(at_end=False)
        outcomes: list[Outcome] = []
        self._skipped = 0
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
            if is_partition_end(error):
                partitions.discard(message.partition())
            elif error is None and (outcome := self._decoded(message)):
                outcomes.append(outcome)
        if self._skipped:
            _log.warning("records that are no drill events were left", topic=self._topic, records=self._skipped)
        return outcomes

    def go_to_end(self) -> None:
        """Makes `following` return only events written after this call; raises ClusterError."""
        self._assign(at_end=True)

    def following(self, drill_id: str, within_s: float) -> Iterator[DrillEvent]:
        """This drill's events as they are read; ends after `within_s` without one."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            event = self.next(0.2)
            if event is not None and event.drill_id == drill_id:
                yield event
                deadline = time.monotonic() + within_s

    def next(self, within_s: float) -> DrillEvent | None:
        """The next event of any drill; None if there is none in time, or if a record is none."""
        message = cast("Consumed | None", self._consumer.poll(within_s))
        if message is None or message.error() is not None:
            return None
        outcome = self._decoded(message)
        return outcome.event if outcome else None

    def _assign(self, *, at_end: bool) -> set[int]:
        try:
            numbers = range(partitions_of(self._consumer, self._topic))
            offsets = [TopicPartition(self._topic, number, self._start_offset(number, at_end)) for number in numbers]
        except KafkaException as error:
            raise ClusterError(
                f"Kafka at {self._servers} does not answer ({error_of(error).str()}); is a system running? standfast up"
            ) from None
        self._consumer.assign(offsets)
        return set(numbers)

    def _start_offset(self, partition: int, at_end: bool) -> int:
        role_word.beat()  # `bounds` may take 20 s while a partition has no leader
        low, high = bounds(self._consumer, self._topic, partition)
        return high if at_end else low

    def _decoded(self, message: Consumed) -> Outcome | None:
        """The event in a record; None for a record that is no event. The first of those is logged."""
        try:
            return outcome_in(message, self._codec)
        except SchemaError as error:
            if not self._skipped:
                _log.warning("not a drill event", topic=self._topic, offset=message.offset(), error=str(error))
            self._skipped += 1
            return None


def outcome_in(message: Consumed, codec: Codec) -> Outcome:
    """The event in a record; raises SchemaError for a record that is no event of a drill."""
    event, encoding = read(origin_of(message), codec, DrillEvent)
    refuse_unusual(event)
    return Outcome(bounded(event), encoding)


def last_unfinished(outcomes: Collection[Outcome], is_wanted: Callable[[DrillEvent], bool]) -> Outcome | None:
    """The last `accepted` event that is wanted and whose id has no final event; None if there is none."""
    ended = {outcome.event.drill_id for outcome in outcomes if outcome.event.phase in FINAL}
    unfinished = [
        outcome
        for outcome in outcomes
        if outcome.event.phase == "accepted" and outcome.event.drill_id not in ended and is_wanted(outcome.event)
    ]
    return unfinished[-1] if unfinished else None


def refuse_unusual(event: DrillEvent) -> None:
    """Raises Unreadable for an event that no runner writes and no report could show: any client may write one."""
    if not is_id(event.drill_id):
        raise Unreadable(f"drill_id = {event.drill_id!r:.200}: no drill can have this id")
    if not 0 <= event.at <= _LATEST_MS:
        raise Unreadable(f"at = {event.at!s:.40}: it must be epoch milliseconds")
    spans = (event.latency_before, event.latency_during, event.latency_after)
    times = [ms for span in spans if span for ms in (span.count, span.p50_ms, span.p99_ms, span.max_ms)]
    figures = [event.rto_ms, event.score, event.lost, event.duplicated, event.out_of_order, *times]
    if any(figure is not None and not 0 <= figure <= _LARGEST for figure in figures):
        raise Unreadable("a figure is negative, no number or out of all proportion")
