"""Tracks which records are still needed, and so the offset that each partition may commit.

Faust 0.15 commits past a record that is still processed once records finish out of order, and counts a record as done
even if a write for it failed. Here a record is done when all that is derived from it is in Kafka.
"""

from __future__ import annotations

from collections.abc import Hashable

Partition = tuple[str, int]


class OldestOffsets:
    """The offset from which each partition must be read after a crash.

    `epoch` changes with every `reset`: a step that began before it must not be noted after it.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._fetched: dict[Partition, int] = {}
        self._next: dict[Partition, int] = {}
        self._held: dict[Partition, dict[Hashable, int]] = {}

    def fetched(self, partition: Partition, offset: int) -> None:
        """The records up to this offset were fetched; may be called from any thread."""
        self._fetched[partition] = offset

    def rewound(self) -> None:
        """Records are fetched again from the committed offsets on."""
        self._fetched.clear()

    def was_fetched(self, partition: Partition, offset: int) -> bool:
        """Whether this offset was fetched before. If so, the topic was made again, and the offsets here are stale."""
        return offset <= self._fetched.get(partition, -1)

    def is_caught_up(self, partition: Partition) -> bool:
        """Whether every fetched record was processed; others may wait in Faust's queues."""
        return self._fetched.get(partition, -1) < self._next.get(partition, 0)

    def is_new(self, partition: Partition, offset: int) -> bool:
        """Whether the record was not processed before; Kafka delivers uncommitted records again."""
        return offset >= self._next.get(partition, 0)

    def mark_processed(self, partition: Partition, offset: int) -> None:
        """The record was processed: all that is derived from it is either held or done."""
        self._next[partition] = max(offset + 1, self._next.get(partition, 0))

    def hold(self, partition: Partition, reason: Hashable, offset: int) -> None:
        """Keeps the record uncommitted until `release` is called with the same reason."""
        reasons = self._held.setdefault(partition, {})
        reasons[reason] = min(offset, reasons.get(reason, offset))

    def release(self, partition: Partition, reason: Hashable) -> None:
        """Ends a hold; unknown reasons are ignored."""
        self._held.get(partition, {}).pop(reason, None)

    def release_everywhere(self, reason: Hashable) -> None:
        """Ends the holds with this reason in every partition."""
        for reasons in self._held.values():
            reasons.pop(reason, None)

    def reset(self) -> None:
        """Forgets everything: the partitions are read again from the committed offsets."""
        self.epoch += 1
        self._fetched.clear()
        self._next.clear()
        self._held.clear()

    def committable(self) -> dict[Partition, int]:
        """The offset to commit, by partition."""
        return {
            partition: min(self._held.get(partition, {}).values(), default=next_offset)
            for partition, next_offset in self._next.items()
        }
