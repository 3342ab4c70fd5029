"""What became of the records that a fault wrote: read back from the request topic, its answers and its dead letters."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from confluent_kafka import Consumer, KafkaException, TopicPartition

from consumers.requests.admission import Origin, origin_of, read
from consumers.service import Service
from drills.evidence.offsets import ends_of
from drills.faults.extra import DRILL_HEADER, NUMBER_HEADER
from drills.faults.injector import Aim
from drills.faults.running_system import RunningSystem
from schemas.codec import Codec
from schemas.records import Result, Scalar
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import ClusterError, SchemaError
from standfast.core.kafka_errors import is_partition_end

_WITHIN_S = 10.0  # to read from the fault's start to the present end
_NAME = "standfast-faults"
_codec = Codec()


@dataclass(frozen=True, slots=True)
class Traces:
    """The records of one fault by number: in the request topic; dead, with the reason; answered, with the status."""

    service: Service
    sent: set[str] = field(default_factory=set)
    dead: dict[str, str] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)

    @property
    def left(self) -> set[str]:
        """Those that are neither answered nor dead letters with a reason."""
        return self.sent - self.dead.keys() - self.answered.keys()

    @property
    def text(self) -> str:
        """What became of them, in words."""
        statuses = ", ".join(f"{count} {status}" for status, count in sorted(Counter(self.answered.values()).items()))
        letters = f"{len(self.dead)} dead letters in {self.service.dead_letters}, each with its cause"
        return f"{len(self.sent)} records written: {letters}; {len(self.answered)} answered ({statuses or 'none'})"

    def note(self, origin: Origin, number: str) -> None:
        """Adds what this record says of record `number`."""
        if origin.topic == self.service.requests:
            self.sent.add(number)
        elif origin.topic == self.service.dead_letters:
            if reason := (origin.header("error-reason") or b"").decode(errors="replace"):
                self.dead[number] = reason
        else:
            self.answered[number] = status_of(origin)


def traces(system: RunningSystem, aim: Aim, since: Mapping[str, Scalar]) -> Traces:
    """What there is now, read from the offsets of `ends` on; raises ClusterError if Kafka does not show it in 10 s."""
    found = Traces(system.service)
    config = {**clients.answers(system.settings, _NAME), "enable.partition.eof": True}
    consumer = Consumer(config)
    starts = [_start(place, offset) for place, offset in since.items() if "/" in place]
    unread, deadline = {(start.topic, start.partition) for start in starts}, time.monotonic() + _WITHIN_S
    try:
        consumer.assign(starts)
        while unread:
            if time.monotonic() > deadline:
                raise ClusterError(f"Kafka has not shown the end of {sorted(unread)} within {_WITHIN_S:.0f} s")
            for message in cast("list[Consumed]", consumer.consume(1000, 0.05)):
                if (error := message.error()) is not None:
                    if is_partition_end(error):
                        unread.discard((message.topic(), message.partition()))
                    continue
                origin = origin_of(message)
                if number := number_of(origin, aim):
                    found.note(origin, number)
    finally:
        consumer.close()
    return found


def number_of(origin: Origin, aim: Aim) -> str:
    """The header `drill-record` of one of the fault's records, of its answer or dead letter; "" for other records."""
    number = (origin.header(NUMBER_HEADER) or b"").decode(errors="replace")
    is_its = number.startswith(f"{aim.seed}-") and origin.header(DRILL_HEADER) == aim.drill_id.encode()
    return number if is_its else ""


def ends(system: RunningSystem) -> dict[str, Scalar]:
    """The present ends of the partitions of the request topic, its answers and its dead letters: `topic/partition`.

    Raises ClusterError.
    """
    service = system.service
    consumer = Consumer(clients.answers(system.settings, _NAME))
    try:
        topics = (service.requests, service.results, service.dead_letters)
        found = [end for topic in topics for end in ends_of(consumer, topic)]
    except KafkaException as error:
        raise ClusterError(f"Kafka does not say where its topics end: {error}") from None
    finally:
        consumer.close()
    return {f"{end.topic}/{end.partition}": end.offset for end in found}


def _start(place: str, offset: Scalar) -> TopicPartition:
    topic, _, partition = place.rpartition("/")
    return TopicPartition(topic, int(partition), int(str(offset)))


def status_of(origin: Origin) -> str:
    """The status in an answer; `unreadable` if it cannot be read."""
    try:
        return read(origin, _codec, Result)[0].status
    except SchemaError:
        return "unreadable"
