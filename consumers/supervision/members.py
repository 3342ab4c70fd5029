"""The processes of one service, by slot, and what can be said of all of them."""

from __future__ import annotations

from collections.abc import Iterator

from consumers.channel.messages import LoadReport, Message
from consumers.supervision.member import Member


class Members:
    """Workers and standbys; may be changed while it is gone through."""

    def __init__(self) -> None:
        self._by_slot: dict[str, Member] = {}

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._by_slot.values()))

    def __len__(self) -> int:
        return len(self._by_slot)

    def __contains__(self, slot: str) -> bool:
        return slot in self._by_slot

    def add(self, member: Member) -> None:
        """There is one more."""
        self._by_slot[member.slot] = member

    def remove(self, member: Member) -> None:
        """There is one less."""
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
        """Why, of each worker whose model fails on every request."""
        return [member.failing for member in self if member.failing]

    @property
    def waiting(self) -> list[str]:
        """What each of the workers waits for that waits for Kafka."""
        return [f"{member.name} {member.waiting}" for member in self if member.waiting]

    def share(self, topic: str, partitions: int, workers: int) -> bool:
        """Whether all `partitions` of the topic are served, and as many of the `workers` have some as can.

        A worker serves from its takeover on and joins the group a moment later: on a slow machine two new workers
        were taken for settled in while the second one's partitions were still with the others.
        """
        shares = [len(member.partitions.get(topic, ())) for member in self]
        return sum(shares) >= partitions and sum(map(bool, shares)) >= min(workers, partitions)

    def loads(self, since: float) -> list[LoadReport]:
        """What each serving worker said last, of those that said something since then (monotonic seconds)."""
        return [member.load for member in self.serving if member.load is not None and member.load_at >= since]

    def successor(self, identity: str) -> Member | None:
        """A warm standby, one with a connected consumer for this identity before others."""
        return min(self.warm, key=lambda member: identity not in member.seats, default=None)

    def tell_workers(self, message: Message) -> None:
        """Sends it to every worker; standbys are not told."""
        for member in self.identified:
            member.send(message)
