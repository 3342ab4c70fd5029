"""A batch's answers and offsets, and the interface of the deliveries that bring them to Kafka."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from confluent_kafka import TopicPartition

from consumers.requests.answers import Outgoing

TopicPartitionKey = tuple[str, int]
TIMEOUT_S = 10.0  # of one call to Kafka during a delivery


@dataclass(frozen=True, slots=True)
class Work:
    """What one batch must bring to Kafka: the records to produce and the offsets to commit.

    `offsets`: the next to read, by request partition. `timestamps_ms`: of the answered requests, epoch milliseconds.
    `membership`: the consumer's group metadata, by which Kafka checks that this worker may commit the offsets.
    `computed`: how many requests were not refused as too late. `picked_at`: when the batch was picked
    (`time.perf_counter`); None for bulk requests. `drained`: no more records than it has were waiting then.
    """

    outgoing: Sequence[Outgoing]
    offsets: Mapping[TopicPartitionKey, int]
    timestamps_ms: Sequence[int]
    membership: object = None
    computed: int = 0
    picked_at: float | None = None
    drained: bool = False

    def without(self, lost: set[TopicPartitionKey]) -> Work:
        """The work without the part of partitions that this worker has lost."""
        if lost.isdisjoint(self.offsets):
            return self
        return replace(
            self,
            outgoing=[record for record in self.outgoing if record.source not in lost],
            offsets={key: offset for key, offset in self.offsets.items() if key not in lost},
        )

    def positions(self) -> list[TopicPartition]:
        """The offsets in the form that Kafka's clients take."""
        return [TopicPartition(topic, partition, offset) for (topic, partition), offset in self.offsets.items()]


class Unwritable(Exception):
    """Kafka will never accept these records, each with its reason; nothing of their batch has been committed."""

    def __init__(self, records: Sequence[tuple[Outgoing, str]]) -> None:
        super().__init__(f"{len(records)} records, the first to {records[0][0].topic}: {records[0][1]}")
        self.records = records


class Replying(Protocol):
    """Produces answers to the topics that requests name."""

    def deliver(self, work: Work) -> Work:
        """Returns the work without the answers that were acknowledged, and with replacements for others; may block."""


class Delivery(Protocol):
    """Brings a batch's work to Kafka. No delivery uses the consumer, which belongs to the worker's thread."""

    commits_offsets: bool  # if not, the worker commits them after `deliver`
    replies: Replying  # called before `deliver`

    def prepare(self, offsets: Work) -> None:
        """Does what can be done before the answers are computed. Blocks, raises Fenced.

        `deliver` or `withdraw` must follow.
        """

    def withdraw(self) -> None:
        """Undoes `prepare`. Blocks, raises Fenced."""

    def deliver(self, work: Work) -> None:
        """Blocks until the work is delivered; raises Fenced, Unwritable, or KafkaException if it must be retried."""
