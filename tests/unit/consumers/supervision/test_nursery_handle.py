"""The events that a `NurseryHandle` reports when its nursery process dies, and their order."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from consumers.channel.messages import pair
from consumers.service import service
from consumers.supervision import nursery_handle
from consumers.supervision.member import Member
from consumers.supervision.nursery_handle import NurseryHandle
from models.canary import Versions
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
        nursery = NurseryHandle(service("search", Settings()), Versions(1), {}, heard)  # type: ignore[arg-type]
        nursery._channel, theirs = pair()
        heard.nursery = nursery
        nursery.fork("search-s0", 1)
        theirs.close()
        asyncio.get_running_loop().add_reader(nursery._channel, nursery._nursery_speaks)
        nursery._nursery_speaks()
        return heard.events

    assert asyncio.run(dies()) == ["the nursery ended without a word", "search-s0 is gone"]


class Forked:
    """A nursery's process that somebody else has forked."""

    pid = 1

    def __init__(self) -> None:
        self.killed = 0

    def kill(self) -> None:
        self.killed += 1

    def poll(self) -> int | None:
        return None


def test_a_nursery_is_forked_where_that_is_possible(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its channel is then open in the nursery alone, so that its end is noticed; else it is a program of its own."""
    monkeypatch.setattr(nursery_handle.subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    kept: list[int] = []
    orders: list[tuple[str, Versions, str]] = []
    forked = Forked()

    def fork(name: str, versions: Versions, channel: int, variables: dict[str, str]) -> Forked:
        kept.append(os.dup(channel))
        orders.append((name, versions, variables["OMP_NUM_THREADS"]))
        return forked

    async def lives() -> list[str]:
        heard = Heard()
        handle = NurseryHandle(service("search", Settings()), Versions(7, 9), {}, heard, fork)  # type: ignore[arg-type]
        handle.start()
        os.close(kept[0])
        while not heard.events:
            await asyncio.sleep(0.01)
        return heard.events

    assert asyncio.run(asyncio.wait_for(lives(), 10)) == ["the nursery ended without a word"]
    assert orders == [("search", Versions(7, 9), "1")]
    assert forked.killed == 1
