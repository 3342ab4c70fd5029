"""What clients and servers see of the proxy: every byte, unless a toxic applies; and all of them again after it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

import pytest

from standfast.core.network.routes import Route
from standfast.core.network.toxics import Answer, Question, Reach, Toxic
from standfast.kafka.broker_config import free_port
from standfast.proxy.fronts import Fronts
from tests.support.proxied import asking, echoing

Scene = Callable[[Fronts, int], Awaitable[None]]
MANY = bytes(range(256)) * 20_000


class Stream:
    """A client's connection."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._writing: list[asyncio.Task[None]] = []

    async def connect(self, port: int) -> None:
        await asyncio.get_running_loop().sock_connect(self._socket, ("127.0.0.1", port))

    def write(self, data: bytes) -> None:
        """Returns at once; pieces are sent in order."""
        self._writing.append(asyncio.create_task(self._send(data, [*self._writing])))

    async def end(self) -> None:
        await asyncio.gather(*self._writing)
        self._socket.shutdown(socket.SHUT_WR)

    async def read(self, size: int = 2**31) -> bytes:
        """So many bytes, or those until the end."""
        got = bytearray()
        while len(got) < size and (
            piece := await asyncio.get_running_loop().sock_recv(self._socket, min(size - len(got), 65_536))
        ):
            got += piece
        return bytes(got)

    def close(self) -> None:
        for task in self._writing:
            task.cancel()
        self._socket.close()

    async def _send(self, data: bytes, before: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*before)
        await asyncio.get_running_loop().sock_sendall(self._socket, data)


OPENED: list[Stream] = []


def played(scene: Scene) -> None:
    """Runs the scene with a proxy in front of a server that echoes; the second argument is the proxy's port."""

    async def play(server: int) -> None:
        route = Route("kafka-1", free_port(), "127.0.0.1", server)
        fronts = Fronts([route], os.getpid())
        await fronts.open()
        try:
            async with asyncio.timeout(60):
                await scene(fronts, route.front)
        finally:
            fronts.close()
            await settled()

    with echoing(1) as (server,):
        asyncio.run(play(server))


async def begin(fronts: Fronts, sort: str, *clients: int, direction: str = "both", **more: object) -> Answer:
    reach = Reach("kafka-1", tuple(clients), direction)  # type: ignore[arg-type]
    return await fronts.asked(Question(add=Toxic(id="t", sort=sort, reaches=(reach,), **more)))  # type: ignore[arg-type]


async def end(fronts: Fronts) -> None:
    assert not (await fronts.asked(Question(remove=("t",)))).toxics


async def connected(port: int) -> Stream:
    stream = Stream()
    OPENED.append(stream)
    await stream.connect(port)
    return stream


async def opened(port: int) -> Stream:
    stream = await connected(port)
    assert await echo(stream, b"first")
    return stream


async def echo(stream: Stream, piece: bytes) -> bool:
    stream.write(piece)
    return await stream.read(len(piece)) == piece


async def hears(stream: Stream, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            return bool(await stream.read(1))
    except TimeoutError:
        return False


async def settled() -> None:
    """Closes what the scene has opened, and lets the loop notice."""
    while OPENED:
        OPENED.pop().close()
    await asyncio.sleep(0.05)


def test_every_byte_and_the_end_get_through() -> None:
    async def scene(_: Fronts, port: int) -> None:
        stream = await opened(port)
        stream.write(MANY)
        ending = asyncio.create_task(stream.end())
        assert await stream.read() == MANY
        await ending

    played(scene)


def test_latency_is_felt_in_its_direction_and_order_is_kept() -> None:
    async def scene(fronts: Fronts, port: int) -> None:
        stream = await opened(port)
        loop = asyncio.get_running_loop()
        await begin(fronts, "latency", delay_ms=150, jitter_ms=100, seed=3, direction="to_client")
        began = loop.time()
        for number in range(50):
            stream.write(b"%3d" % number)
            await asyncio.sleep(0)
        assert await stream.read(150) == b"".join(b"%3d" % number for number in range(50))
        assert loop.time() - began >= 0.05
        stream.write(MANY)
        ending = asyncio.create_task(stream.end())
        assert await stream.read() == MANY, "what waits for its time comes before the end"
        await ending

    played(scene)


def test_silence_holds_everything_back_and_loses_nothing() -> None:
    async def scene(fronts: Fronts, port: int) -> None:
        old = await opened(port)
        await begin(fronts, "silence")
        new = await connected(port)
        for stream in (old, new):
            stream.write(b"!" + MANY)
            assert not await hears(stream, 0.1)
        (seen,) = (await fronts.asked(Question())).toxics
        assert seen.connections == 2
        assert seen.waiting > 0
        await end(fronts)
        for stream in (old, new):
            assert await stream.read(1 + len(MANY)) == b"!" + MANY

    played(scene)


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_silence_one_way_lets_the_other_way_through(direction: str) -> None:
    async def scene(fronts: Fronts, port: int) -> None:
        stream = await opened(port)
        await begin(fronts, "silence", direction=direction)
        stream.write(b"asked")
        assert not await hears(stream, 0.1)
        await end(fronts)
        assert await stream.read(5) == b"asked"

    played(scene)


def test_bandwidth_is_limited_and_messages_are_cut() -> None:
    async def scene(fronts: Fronts, port: int) -> None:
        stream = await opened(port)
        loop = asyncio.get_running_loop()
        await begin(fronts, "bandwidth", bytes_per_s=20_000, piece=7, direction="to_client")
        began = loop.time()
        assert await echo(stream, MANY[:10_000])
        assert loop.time() - began >= 0.45

    played(scene)


def test_a_reset_ends_connections_at_a_certain_age() -> None:
    async def scene(fronts: Fronts, port: int) -> None:
        stream = await opened(port)
        await begin(fronts, "reset", live_ms=0)
        with pytest.raises(ConnectionResetError):
            await stream.read(1)
        assert (await fronts.asked(Question())).toxics[0].resets == 1
        await end(fronts)
        await opened(port)

    played(scene)


def test_refused_connections_are_accepted_again_afterwards() -> None:
    async def scene(fronts: Fronts, port: int) -> None:
        stream = await opened(port)
        await begin(fronts, "refuse")
        with pytest.raises(ConnectionResetError):
            await stream.read(1)
        with pytest.raises(ConnectionRefusedError):
            await connected(port)
        await end(fronts)
        await opened(port)

    played(scene)


def test_a_toxic_that_nobody_renews_ends_by_itself() -> None:
    async def scene(fronts: Fronts, port: int) -> None:
        stream = await opened(port)
        await begin(fronts, "silence", lease_s=0.3)
        stream.write(b"asked")
        for _ in range(6):
            await asyncio.sleep(0.1)
            assert (await fronts.asked(Question(renew=("t",)))).seen("t"), "it was renewed"
        await asyncio.sleep(0.35)
        await fronts.tend()
        assert fronts.is_clean
        assert await stream.read(5) == b"asked"

    played(scene)


def test_only_the_connections_of_one_process_are_reached() -> None:
    async def scene(fronts: Fronts, port: int) -> None:
        mine = await opened(port)
        with asking(port, 2) as (one, other):
            while (await begin(fronts, "silence", one)).toxics[0].connections != 1:
                await asyncio.sleep(0.02)
            assert await echo(mine, b"still")
            while (await begin(fronts, "silence", one, other)).toxics[0].connections != 2:
                await asyncio.sleep(0.02)
            assert (await begin(fronts, "silence", os.getpid())).toxics[0].connections == 1
            mine.write(b"x")
            assert not await hears(mine, 0.1)

    played(scene)


def test_an_unknown_route_is_refused_with_those_there_are() -> None:
    async def scene(fronts: Fronts, _: int) -> None:
        answer = await fronts.asked(Question(add=Toxic(id="t", sort="silence", reaches=(Reach("kafka-9"),))))
        assert answer.error == "there is no route kafka-9; there are: kafka-1"
        assert fronts.is_clean

    played(scene)


def test_whoever_asks_a_server_that_is_not_there_is_told_by_a_reset() -> None:
    async def scene() -> None:
        route = Route("kafka-1", free_port(), "127.0.0.1", free_port())
        fronts = Fronts([route], os.getpid())
        await fronts.open()
        stream = await connected(route.front)
        with pytest.raises(ConnectionResetError):
            await stream.read(1)
        fronts.close()
        await settled()

    asyncio.run(scene())
