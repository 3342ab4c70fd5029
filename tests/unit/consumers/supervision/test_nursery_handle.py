"""The events that a `NurseryHandle` reports when its nursery process dies, and their order."""

from __future__ import annotations

import asyncio

from consumers.channel.messages import pair
from consumers.service import service
from consumers.supervision.member import Member
from consumers.supervision.nursery_handle import NurseryHandle
from standfast.core.settings import Settings


class Heard:
    """A listener that replaces a process at once, as the replica set does, unless it knows that the nursery is dead."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.nursery: NurseryHandle | None = None

    def nursery_failed(self, _nursery: NurseryHandle, reason: str) -> None:
        self.events.append(reason)
        self.nursery = None

    def gone(self, member: Member) -> None:
        self.events.append(f"{member.slot} is gone")
        if self.nursery is not None:
            self.nursery.fork("search-s9", 1)


def test_a_nursery_that_dies_before_it_has_made_a_process_is_told_of_first() -> None:
    """Otherwise the replacement would be asked of the dead nursery, whose error kept it from being replaced."""

    async def dies() -> list[str]:
        heard = Heard()
        nursery = NurseryHandle(service("search", Settings()), 1, {}, heard)  # type: ignore[arg-type]
        nursery._channel, theirs = pair()
        heard.nursery = nursery
        nursery.fork("search-s0", 1)
        theirs.close()
        asyncio.get_running_loop().add_reader(nursery._channel, nursery._nursery_speaks)
        nursery._nursery_speaks()
        return heard.events

    assert asyncio.run(dies()) == ["the nursery ended without a word", "search-s0 is gone"]
