"""Which records are still needed, and so how far each partition may be committed.

Faust 0.15 commits past a record still in work once records finish out of order, and counts a record as done although
what it caused could not be written. Here a record is done when everything derived from it is in Kafka.
"""

from __future__ import annotations

from collections.abc import Hashable

Partition = tuple[str, int]


class OldestOffsets:
    """The oldest offset each partition must be read from again after a crash.

    `epoch` changes with every `reset`: what began before it must not be noted after it.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._fetched: dict[Partition, int] = {}
        self._next: dict[Partition, int] = {}
        self._held: dict[Partition, dict[Hashable, int]] = {}

    def fetched(self, partition: Partition, offset: int) -> None:
        """The records up to this one were read from Kafka; may be called in any thread."""
        self._fetched[partition] = offset

    def rewound(self) -> None:
        """The reading begins at the committed offsets again."""
        self._fetched.clear()

    def was_fetched(self, partition: Partition, offset: int) -> bool:
        """Whether this record was read before; if so, its offset is of another log than those noted here."""
        return offset <= self._fetched.get(partition, -1)

    def is_abreast(self, partition: Partition) -> bool:
        """Whether every record that was read has been looked at; some may wait for it in Faust's queues."""
        return self._fetched.get(partition, -1) < self._next.get(partition, 0)

    def is_new(self, partition: Partition, offset: int) -> bool:
        """Whether the record was not counted before; Kafka delivers again whatever was not committed."""
        return offset >= self._next.get(partition, 0)

    def took(self, partition: Partition, offset: int) -> None:
        """The record was looked at; all that is derived from it is now held or done."""
        self._next[partition] = max(offset + 1, self._next.get(partition, 0))

    def hold(self, partition: Partition, reason: Hashable, offset: int) -> None:
        """Keeps the record for a reason that ends with `release`."""
        held = self._held.setdefault(partition, {})
        held[reason] = min(offset, held.get(reason, offset))

    def release(self, partition: Partition, reason: Hashable) -> None:
        """The reason is gone; unknown ones are ignored."""
        self._held.get(partition, {}).pop(reason, None)

    def release_everywhere(self, reason: Hashable) -> None:
        """The reason is gone in every partition."""
        for held in self._held.values():
            held.pop(reason, None)

    def reset(self) -> None:
        """Forgets everything: the partitions are read again from what is committed."""
        self.epoch += 1
        self._fetched.clear()
        self._next.clear()
        self._held.clear()

    def committable(self) -> dict[Partition, int]:
        """The offset to go on from, by partition."""
        return {
            partition: min(self._held.get(partition, {}).values(), default=following)
            for partition, following in self._next.items()
        }
