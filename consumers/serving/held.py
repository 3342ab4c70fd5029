"""Records that cannot be decoded before the schema registry answers, and those behind them in their partitions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import structlog
from confluent_kafka import Consumer, TopicPartition

from consumers.commit.work import TopicPartitionKey
from consumers.requests.admission import Origin

_log = structlog.get_logger()
Waits = Callable[[bytes | None], bool]


class HeldPartitions:
    """Holds back a partition from its first record that has to wait; the other partitions go on.

    The records behind it wait with it, because offsets are committed in order: a record that was answered before it
    would be answered again after a crash. The partition is paused, so that nothing more of it is fetched.
    """

    def __init__(self, consumer: Consumer, waits: Waits | None) -> None:
        self._consumer = consumer
        self._waits = waits
        self._kept: dict[TopicPartitionKey, deque[Origin]] = {}

    @property
    def partitions(self) -> set[TopicPartitionKey]:
        """The partitions that are held back."""
        return set(self._kept)

    def records(self) -> list[Origin]:
        """All records that are held back."""
        return [record for kept in self._kept.values() for record in kept]

    def sift(self, records: Iterable[Origin]) -> Iterable[Origin]:
        """The records just read that may be answered now; the others are kept here."""
        if self._waits is None:
            return records
        waits = self._waits
        return [record for record in records if not self._keeps(record, waits)]

    def released(self) -> list[Origin]:
        """The records that need not wait any more, in the order of each partition."""
        if not self._kept or self._waits is None:
            return []
        free: list[Origin] = []
        for key, kept in list(self._kept.items()):
            while kept and not self._waits(kept[0].value):
                free.append(kept.popleft())
            if not kept:
                del self._kept[key]
                self._consumer.resume([TopicPartition(*key)])
        return free

    def drop(self, revoked: set[TopicPartitionKey]) -> None:
        """Forgets partitions that are given up; their next owner reads these records again."""
        for key in revoked:
            self._kept.pop(key, None)

    def _keeps(self, record: Origin, waits: Waits) -> bool:
        key = (record.topic, record.partition)
        kept = self._kept.get(key)
        if kept is None:
            if not waits(record.value):
                return False
            _log.warning("a partition waits for the schema registry", topic=record.topic, partition=record.partition)
            kept = self._kept[key] = deque()
            self._consumer.pause([TopicPartition(*key)])
        kept.append(record)
        return True
