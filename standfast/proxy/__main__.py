"""`python -m standfast.proxy`: the network proxy, as the supervisor starts it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import msgspec
import structlog

from standfast.core import logs
from standfast.core.errors import StandfastError
from standfast.core.network import routes
from standfast.core.network.toxics import Answer, Question, SocketPath, socket_file
from standfast.core.processes import role_word
from standfast.core.processes.lifeline import stopping_signals
from standfast.core.settings import load
from standfast.proxy.fronts import Fronts

_TENDED_S = 0.25  # between two looks whether a lease is over
_IDLE_S = 5.0  # without toxics only the supervisor has to see that this process lives


def main() -> int:
    """Runs the proxy until SIGTERM and returns its exit code."""
    try:
        settings = load()
        logs.configure(settings.log, "network")
        asyncio.run(_serve())
    except StandfastError as error:
        role_word.ends(str(error))
        structlog.get_logger().error("the network proxy ends", error=str(error))
        return error.exit_code
    return 0


async def _serve() -> None:
    loop, stop, asked = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    for number in stopping_signals():
        loop.add_signal_handler(number, stop.set)
    fronts = Fronts(routes.kept(), os.getpid())
    await fronts.open()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(msgspec.json.encode(await _answered(fronts, await reader.readline())) + b"\n")
        asked.set()
        writer.close()

    control = await asyncio.start_unix_server(answer, sock=_control_socket())
    role_word.begun()
    tending = asyncio.create_task(_tend(fronts, asked))
    await stop.wait()
    tending.cancel()
    control.close()
    fronts.close()


async def _answered(fronts: Fronts, line: bytes) -> Answer:
    try:
        return await fronts.asked(msgspec.json.decode(line, type=Question))
    except (msgspec.MsgspecError, StandfastError) as error:
        return Answer(pid=os.getpid(), error=str(error))


async def _tend(fronts: Fronts, asked: asyncio.Event) -> None:
    while True:
        role_word.beat()
        try:
            await fronts.tend()
        except StandfastError as error:  # the port of a route that listens again is taken; tried again
            structlog.get_logger().warning("a route is not open", error=str(error))
        asked.clear()
        try:
            await asyncio.wait_for(asked.wait(), _IDLE_S if fronts.is_clean else _TENDED_S)
        except TimeoutError:
            continue


def _control_socket() -> socket.socket:
    """The socket on which the proxy is asked. Only this user may connect: with it, all answers can be held back."""
    socket_file().unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    with SocketPath() as path:
        mask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
    return listener


if __name__ == "__main__":
    sys.exit(main())
