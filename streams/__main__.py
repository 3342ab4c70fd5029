"""`python -m streams`: the stream processor as a process of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from typing import Any

import structlog

from standfast.core import logs
from standfast.core.errors import StandfastError
from standfast.core.processes import role_word
from standfast.core.processes.lifeline import stopping_signals
from standfast.core.settings import Settings, load
from streams import restore
from streams.names import names
from streams.quiet import quieten

_log = structlog.get_logger()
_STOP_WITHIN_S = 5.0
_BEAT_S = 0.25


def run(settings: Settings) -> int:
    """Keeps the derived views until SIGTERM or SIGINT (exit status 0) or until Faust gives up (1)."""
    return asyncio.run(_run(settings))


async def _run(settings: Settings) -> int:
    began = time.monotonic()
    stop, told = threading.Event(), asyncio.Event()

    def end() -> None:
        stop.set()
        told.set()

    for number in stopping_signals():
        asyncio.get_running_loop().add_signal_handler(number, end)
    pulse = _Pulse()
    beating = asyncio.create_task(pulse.beat())
    try:
        return await _process(settings, stop, told, began, pulse)
    finally:
        beating.cancel()


async def _process(settings: Settings, stop: threading.Event, told: asyncio.Event, began: float, pulse: _Pulse) -> int:
    waiting = asyncio.create_task(asyncio.to_thread(restore.wait_for_topics, settings, names(settings), stop))
    await asyncio.sleep(0)
    from streams.app import build  # takes its time, in which Kafka is asked

    try:
        await waiting
    except restore.Stopped:
        return 0
    app = build(settings, stop)
    await app.start()
    pulse.consumer = app.consumer
    role_word.begun()
    _log.info("stream processor started", seconds=round(time.monotonic() - began, 2))
    return await _until_told(app, told)


class _Pulse:
    """Makes steps as long as both event loops do: this one, in which Faust runs all agents, and its consumer's."""

    def __init__(self) -> None:
        self.consumer: Any = None

    async def beat(self) -> None:
        """Never ends."""
        while True:
            await asyncio.sleep(_BEAT_S)
            if self.consumer is not None:
                await self.consumer.step()
            role_word.beat()


async def _until_told(app: Any, told: asyncio.Event) -> int:
    waiting = [asyncio.ensure_future(told.wait()), asyncio.ensure_future(app.wait_until_stopped())]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    if not told.is_set():
        role_word.ends(f"the stream processor gave up: {app.crash_reason!r}")
        _log.error("stream processor gave up; start it again", reason=repr(app.crash_reason))
    status = 0 if told.is_set() else 1
    deadline = threading.Timer(_STOP_WITHIN_S, _leave, (status,))
    deadline.daemon = True
    deadline.start()
    await app.stop()
    return status


def _leave(status: int) -> None:
    """Ends the process: Faust waits without end, and swallows being cancelled, while Kafka is away."""
    _log.warning("stopped without waiting any longer; what was not committed is read again")
    os._exit(status)


def main() -> int:
    """Runs with the settings of the environment and file; what cannot work is one line and its exit status."""
    try:
        settings = load()
        logs.configure(settings.log, "stream")
        quieten()
        return run(settings)
    except StandfastError as error:
        role_word.ends(str(error))
        _log.error("stream processor cannot run", reason=str(error))
        return error.exit_code


if __name__ == "__main__":
    status = main()
    # Faust's threads may still wait for a broker that is gone; everything of ours is done.
    logging.shutdown()
    os._exit(status)
