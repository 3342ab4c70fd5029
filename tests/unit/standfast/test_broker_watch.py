"""Brokers that end, that cannot be restarted, and that run but do not answer."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from standfast import broker_watch
from standfast.broker_watch import BrokerWatch, answers
from standfast.core.errors import SetupError
from standfast.core.status import RoleStatus


class PaperNode:
    """A fake broker. `launches` says which of its launches succeed."""

    id = 1
    address = "127.0.0.1:1"
    pid = 4711

    def __init__(self, launches: list[bool]) -> None:
        self.alive = False
        self._launches = launches
        self.tried_at: list[float] = []
        self.killed = 0

    def launch(self) -> None:
        self.tried_at.append(time.monotonic())
        if not self._launches.pop(0):
            raise SetupError("java cannot be started: no memory")
        self.alive = True

    def end(self) -> None:
        self.alive = False
        self.killed += 1

    def last_words(self) -> str:
        return "its log says why"


class PaperCluster:
    """A fake cluster with one node."""

    def __init__(self, node: PaperNode) -> None:
        self.nodes = [node]

    def unregister(self, _dead: PaperNode) -> bool:
        return False


async def until(watch: BrokerWatch, condition: Callable[[RoleStatus], bool]) -> RoleStatus:
    deadline = time.monotonic() + 60
    while True:
        watch.look()
        (row,) = watch.rows()
        if condition(row):
            return row
        assert time.monotonic() < deadline, row
        await asyncio.sleep(0.01)


def run(play: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    async def played() -> None:
        stopping = asyncio.Event()
        await play(stopping)
        stopping.set()

    asyncio.run(played())


def test_a_broker_that_cannot_be_started_again_is_tried_with_waits_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting Java twenty times a second would take the CPU from the serving processes."""
    monkeypatch.setattr(broker_watch, "_AGAIN_S", 0.3)
    node = PaperNode([False, False, False, False, True])
    watches: list[BrokerWatch] = []

    async def play(stopping: asyncio.Event) -> None:
        watches.append(BrokerWatch(cast(Any, PaperCluster(node)), 60.0, stopping))
        failing = await until(watches[0], lambda row: bool(row.failing))
        assert failing.failing.startswith("kafka-1 keeps ending, 3 times since ")
        assert "it cannot be started: java cannot be started: no memory" in failing.failing
        alive = await until(watches[0], lambda row: row.state == "running")
        assert (alive.restarts, len(node.tried_at)) == (5, 5)

    run(play)
    waits = [later - earlier for earlier, later in zip(node.tried_at, node.tried_at[1:], strict=False)]
    assert all(wait >= 0.3 for wait in waits[1:]), "the third death in a row and each one after it"


@pytest.mark.parametrize("limit", [0.5, 0.0])
def test_only_a_broker_that_answered_before_is_killed_for_its_silence(
    limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A starting broker may recover its log for minutes. A limit of 0 means never."""
    says = [False]

    async def asked(_address: str) -> bool:
        return says[0]

    monkeypatch.setattr(broker_watch, "answers", asked)
    monkeypatch.setattr(broker_watch, "_ASK_S", 0.05)
    monkeypatch.setattr(broker_watch, "_SAID_S", 0.2)
    node = PaperNode([True, True])
    node.launch()

    async def play(stopping: asyncio.Event) -> None:
        watch = BrokerWatch(cast(Any, PaperCluster(node)), limit, stopping)
        (kept,) = watch._kept.values()
        for _ in range(30):
            kept.heard(answered=False, within_s=1.0)
        assert watch.rows()[0].failing == "", "it has not answered yet"
        says[0] = True
        await until(watch, lambda _row: kept._has_answered)
        says[0] = False
        silent = await until(watch, lambda row: bool(row.failing))
        assert silent.failing.startswith("kafka-1 runs but has answered nothing since ")
        assert silent.since > 0
        if limit:
            row = await until(watch, lambda row: row.restarts == 1 and row.state == "running")
            assert (node.killed, row.failing) == (1, "")
            assert row.ended.startswith("it answered nothing for ")
        else:
            await until(watch, lambda _row: kept.silent_s > 1.0)
            assert node.killed == 0

    run(play)


def test_an_address_where_nobody_answers_and_one_where_nobody_is() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert not asyncio.run(answers(address, 2.0)), "nobody listens"
        listener.listen()
        assert not asyncio.run(answers(address, 0.2)), "the kernel accepts the connection, no process answers"


def test_a_lack_of_our_own_is_not_taken_for_a_silent_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio, "open_connection", none_left)
    assert asyncio.run(answers("127.0.0.1:1"))
