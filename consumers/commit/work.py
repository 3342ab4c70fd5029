"""What one batch owes to Kafka, and what a way of bringing it there promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from confluent_kafka import TopicPartition

from consumers.requests.answers import Outgoing

TopicPartitionKey = tuple[str, int]
TIMEOUT_S = 10.0  # of one call to Kafka on the way there


@dataclass(frozen=True, slots=True)
class Work:
    """What one batch owes to Kafka.

    `offsets` are next to read, by request partition; `timestamps_ms` are those of the requests it answers; `membership`
    is the consumer's group metadata, which proves to Kafka that the offsets are this worker's to commit.
    `computed`: how many requests were not refused for want of time. `backlog_since` is when the batch was picked
    (`time.perf_counter`), if more than it waited then.
    """

    outgoing: Sequence[Outgoing]
    offsets: Mapping[TopicPartitionKey, int]
    timestamps_ms: Sequence[int]
    membership: object = None
    computed: int = 0
    backlog_since: float | None = None

    def without(self, lost: set[TopicPartitionKey]) -> Work:
        """The same less what came from partitions that are no longer ours."""
        if lost.isdisjoint(self.offsets):
            return self
        return replace(
            self,
            outgoing=[one for one in self.outgoing if one.source not in lost],
            offsets={key: offset for key, offset in self.offsets.items() if key not in lost},
        )

    def positions(self) -> list[TopicPartition]:
        """The offsets as Kafka's clients take them."""
        return [TopicPartition(topic, partition, at) for (topic, partition), at in self.offsets.items()]


class Unwritable(Exception):
    """Kafka will never take these records, each with its reason; nothing of their batch has been committed."""

    def __init__(self, records: Sequence[tuple[Outgoing, str]]) -> None:
        super().__init__(f"{len(records)} records, the first to {records[0][0].topic}: {records[0][1]}")
        self.records = records


class Replying(Protocol):
    """A way of bringing answers to the topics that requests name."""

    def deliver(self, work: Work) -> Work:
        """The work with those answers taken out, or replaced by what is to be written instead; blocks shortly."""


class Delivery(Protocol):
    """One way of bringing a batch's work to Kafka. None touches the consumer: see `Worker`."""

    commits_offsets: bool
    replies: Replying  # to be called before `deliver`

    def prepare(self, offsets: Work) -> None:
        """Does what can be done before there are answers; blocks, raises Fenced. `deliver` or `withdraw` follows."""

    def withdraw(self) -> None:
        """Takes back what `prepare` did; blocks, raises Fenced."""

    def deliver(self, work: Work) -> None:
        """Blocks until the work is done; raises Fenced, Unwritable, or KafkaException if it is to be tried again."""
