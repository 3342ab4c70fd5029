"""Who owned each partition of the request topics in the last minutes, as the hosts' records tell it."""

from __future__ import annotations

from dataclasses import replace

from console.snapshot import Held
from standfast.core.status import SystemStatus

KEPT_MS = 120_000
_MOST_PARTITIONS = 2000
Partition = tuple[str, int]


class Owners:
    """The owners of each partition, on all hosts. Times are the hosts' own, epoch milliseconds."""

    def __init__(self) -> None:
        self._held: dict[Partition, list[Held]] = {}
        self._of_host: dict[str, dict[Partition, str]] = {}

    def take(self, host: str, status: SystemStatus | None, at: int) -> None:
        """What a host says now; None: it has left."""
        owned = _owned(status) if status is not None else {}
        before = self._of_host.get(host, {})
        for partition, owner in before.items():
            if owned.get(partition) != owner:
                self._end(partition, owner, at)
        for partition, owner in owned.items():
            if before.get(partition) != owner and (partition in self._held or len(self._held) < _MOST_PARTITIONS):
                self._held.setdefault(partition, []).append(Held(owner, at))
        self._of_host[host] = owned

    def held(self, now: int) -> tuple[tuple[Partition, tuple[Held, ...]], ...]:
        """The owners of the last two minutes, by topic and partition."""
        for owners in self._held.values():
            owners[:] = [held for held in owners if held.until is None or held.until > now - KEPT_MS]
        return tuple((partition, tuple(owners)) for partition, owners in sorted(self._held.items()) if owners)

    def _end(self, partition: Partition, owner: str, at: int) -> None:
        held = self._held.get(partition, [])
        for number, one in enumerate(held):
            if one.owner == owner and one.until is None:
                held[number] = replace(one, until=at)


def _owned(status: SystemStatus) -> dict[Partition, str]:
    """The owner of each partition: a worker's identity with its process, since a takeover keeps the identity."""
    return {
        (topic, number): f"{worker.id} (pid {worker.pid})"
        for worker in status.workers
        for topic, numbers in worker.partitions.items()
        for number in numbers
    }
