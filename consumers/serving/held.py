"""Records that cannot be decoded before the schema registry answers, and what is behind them in their partitions."""

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

    What is behind such a record waits with it, because offsets are committed in order: answered before it, it would be
    answered again after a crash. The partition is paused, so that no more of it is read than is here already.
    """

    def __init__(self, consumer: Consumer, waits: Waits | None) -> None:
        self._consumer = consumer
        self._waits = waits
        self._kept: dict[TopicPartitionKey, deque[Origin]] = {}

    @property
    def places(self) -> set[TopicPartitionKey]:
        """The partitions that are held back."""
        return set(self._kept)

    def records(self) -> list[Origin]:
        """All that are held back."""
        return [one for kept in self._kept.values() for one in kept]

    def sift(self, records: Iterable[Origin]) -> Iterable[Origin]:
        """Those of the records just read that may be answered now; the others are kept here."""
        if self._waits is None:
            return records
        waits = self._waits
        return [record for record in records if not self._keeps(record, waits)]

    def released(self) -> list[Origin]:
        """Those that need not wait any more, each partition's in its order."""
        if not self._kept or self._waits is None:
            return []
        free: list[Origin] = []
        for place, kept in list(self._kept.items()):
            while kept and not self._waits(kept[0].value):
                free.append(kept.popleft())
            if not kept:
                del self._kept[place]
                self._consumer.resume([TopicPartition(*place)])
        return free

    def drop(self, gone: set[TopicPartitionKey]) -> None:
        """Forgets partitions that are given up; their next owner reads them again."""
        for place in gone:
            self._kept.pop(place, None)

    def _keeps(self, one: Origin, waits: Waits) -> bool:
        place = (one.topic, one.partition)
        kept = self._kept.get(place)
        if kept is None:
            if not waits(one.value):
                return False
            _log.warning("a partition waits for the schema registry", topic=one.topic, partition=one.partition)
            kept = self._kept[place] = deque()
            self._consumer.pause([TopicPartition(*place)])
        kept.append(one)
        return True
