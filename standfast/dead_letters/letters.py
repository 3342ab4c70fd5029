"""The dead letters of one topic that nobody has sent again or given up.

Which those are stands in the topic itself: whoever sends letters again writes a receipt beside them, in the same
transaction. Committed offsets of a group could not hold it: Kafka forgets them after a week, and letters stay a month.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from confluent_kafka import Consumer, KafkaException, TopicPartition

from consumers.requests.admission import headers_of
from consumers.service import service
from schemas.dead_letters import Headers, is_left_out, original_headers, receipt_in, said
from schemas.topics import BY_NAME, DEAD_LETTER_SUFFIX
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import ClusterError, TopicError, UsageError
from standfast.core.kafka_errors import error_of, is_partition_end
from standfast.core.services import NAMES
from standfast.core.settings import Settings

_ANSWER_S = 10.0  # of one request to Kafka, and without any record while the topic is read
_AT_ONCE = 500
_PLACE = re.compile(r"(\d{1,9})-(\d{1,18})")
Place = tuple[int, int]  # a partition of the topic of dead letters, and an offset in it


@dataclass(frozen=True, slots=True)
class Letter:
    """What may be told of a dead letter; its key and value may be personal.

    Args:
        at: when it was set aside, epoch milliseconds.
        source: topic, partition and offset that its record was read from.
        of_drill: a drill wrote the record.
        left_out: its value is not there, so it cannot be sent again.
        size: bytes of the value.
    """

    partition: int
    offset: int
    at: int
    reason: str
    source: tuple[str, int, int]
    worker: str
    of_drill: bool
    left_out: bool
    size: int

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.partition, self.offset

    @property
    def id(self) -> str:
        """Its name on the command line."""
        return f"{self.partition}-{self.offset}"


@dataclass(slots=True)
class Waiting:
    """`letters`: those that wait, in their order. `done`: how many were sent again or given up.

    `strange`: how many records are no dead letters of the topic's own, whoever wrote them.
    """

    letters: list[Letter] = field(default_factory=list)
    done: int = 0
    strange: int = 0


def sources(settings: Settings) -> dict[str, frozenset[str]]:
    """By topic of dead letters, the topics whose records are sent again. Commands of drills are not among them."""
    services = [service(name, settings) for name in NAMES]
    found = {one.dead_letters: frozenset({one.requests, one.bulk_requests}) for one in services}
    interactions = settings.kafka.topic_prefix + BY_NAME["interactions"].name
    return {**found, interactions + DEAD_LETTER_SUFFIX: frozenset({interactions})}


def topic_named(name: str, settings: Settings) -> str:
    """The topic of dead letters that is meant by `search.requests.dlq`, `search.requests` or the like.

    Raises UsageError, naming those there are.
    """
    prefix = settings.kafka.topic_prefix
    known = sources(settings)
    for full in (name, prefix + name, name + DEAD_LETTER_SUFFIX, prefix + name + DEAD_LETTER_SUFFIX):
        if full in known:
            return full
    there_are = ", ".join(sorted(topic.removeprefix(prefix) for topic in known))
    raise UsageError(f"{name!r} is no topic of dead letters that can be sent again; there are: {there_are}")


def place_named(text: str) -> Place:
    """The place that `0-17` means; raises UsageError."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no dead letter; give partition and offset, such as 0-17, as they are listed")
    return int(found[1]), int(found[2])


class Letters:
    """Reads one topic of dead letters, from its start to its present end. Close it."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._topic, self._originals = topic, sources(settings)[topic]
        self._servers = settings.kafka.bootstrap_servers
        config = {**clients.follower(settings, "standfast-dead-letters"), "enable.partition.eof": True}
        self._consumer = Consumer(config)

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()

    def waiting(self) -> Waiting:
        """The letters that wait; raises ClusterError and TopicError."""
        letters: dict[Place, Letter] = {}
        done: set[Place] = set()
        strange = 0
        for message in self.records():
            # Once a record: after a name that is no UTF-8, confluent-kafka's second answer is a segmentation fault.
            headers = headers_of(message) or []
            if (receipt := receipt_in(headers, message.value())) is not None:
                done.update(receipt.letters)
            elif (letter := self._letter(message, headers)) is not None:
                letters[letter.place] = letter
            else:
                strange += 1
        left = [letter for place, letter in sorted(letters.items()) if place not in done]
        return Waiting(left, len(letters) - len(left), strange)

    def records(self) -> Iterator[Consumed]:
        """Every record up to the present end, each partition's in order; raises ClusterError and TopicError."""
        left = self._assign()
        heard_at = time.monotonic()
        while left:
            messages = cast("list[Consumed]", self._consumer.consume(_AT_ONCE, 0.5))
            if not messages and time.monotonic() - heard_at > _ANSWER_S:
                raise ClusterError(f"Kafka at {self._servers} stopped answering while {self._topic} was read")
            heard_at = time.monotonic() if messages else heard_at
            for message in messages:
                if message.error() is None:
                    yield message
                elif is_partition_end(message.error()):
                    left.discard(message.partition())

    def _assign(self) -> set[int]:
        try:
            metadata = self._consumer.list_topics(self._topic, timeout=_ANSWER_S).topics[self._topic]
        except KafkaException as error:
            raise ClusterError(f"Kafka at {self._servers} does not answer: {error_of(error).str()}") from None
        if metadata.error is not None:
            raise TopicError(f"the topic {self._topic} is missing; create it with `standfast topics`")
        self._consumer.assign([TopicPartition(self._topic, number, 0) for number in metadata.partitions])
        return set(metadata.partitions)

    def _letter(self, message: Consumed, headers: Headers) -> Letter | None:
        told = said(headers)
        if told is None or told.topic not in self._originals:
            return None
        return Letter(
            message.partition(), message.offset(), message.timestamp()[1], told.reason,
            (told.topic, told.partition, told.offset), told.worker,
            of_drill=any(name == "drill-id" for name, _ in original_headers(headers)),
            left_out=is_left_out(headers), size=len(message.value() or b""),
        )  # fmt: skip
