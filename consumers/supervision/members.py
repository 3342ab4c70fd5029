"""The processes of one service, by slot, and the questions that are asked about all of them."""

from __future__ import annotations

from collections.abc import Iterator

from consumers.channel.messages import LoadReport, Message
from consumers.supervision.member import Member


class Members:
    """Workers and standbys; members may be added and removed during an iteration."""

    def __init__(self) -> None:
        self._by_slot: dict[str, Member] = {}

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._by_slot.values()))

    def __len__(self) -> int:
        return len(self._by_slot)

    def __contains__(self, slot: str) -> bool:
        return slot in self._by_slot

    def add(self, member: Member) -> None:
        """Adds a process."""
        self._by_slot[member.slot] = member

    def remove(self, member: Member) -> None:
        """Removes a process, if it is there."""
        self._by_slot.pop(member.slot, None)

    @property
    def serving(self) -> list[Member]:
        """Workers that serve."""
        return [member for member in self if member.state == "serving"]

    @property
    def warm(self) -> list[Member]:
        """Standbys that can take over."""
        return [member for member in self if member.state == "ready"]

    @property
    def identified(self) -> list[Member]:
        """Workers, serving or about to."""
        return [member for member in self if member.identity is not None]

    @property
    def failing(self) -> list[str]:
        """The reasons of all workers whose model fails on every request."""
        return [member.failing for member in self if member.failing]

    @property
    def waiting(self) -> list[str]:
        """For each worker that waits for Kafka: its name, and what it waits for."""
        return [f"{member.name} {member.waiting}" for member in self if member.waiting]

    def share(self, topic: str, partitions: int, workers: int) -> bool:
        """Whether all `partitions` of the topic are served, and each of the `workers` has some, as far as they go.

        The state `serving` is not enough: a worker has it from its takeover on, and joins the group a moment later. On
        a slow machine two new workers were taken for settled while other workers still had the second one's partitions.
        """
        shares = [len(member.partitions.get(topic, ())) for member in self]
        return sum(shares) >= partitions and sum(map(bool, shares)) >= min(workers, partitions)

    def loads(self, since: float) -> list[LoadReport]:
        """The last load report of each serving worker, unless it is from before `since` (monotonic seconds)."""
        return [member.load for member in self.serving if member.load is not None and member.load_at >= since]

    def successor(self, identity: str) -> Member | None:
        """A warm standby, preferably with a connected consumer for this identity; None if there is no warm standby."""
        return min(self.warm, key=lambda member: identity not in member.seats, default=None)

    def tell_workers(self, message: Message) -> None:
        """Sends a message to every worker, and to no standby."""
        for member in self.identified:
            member.send(message)
