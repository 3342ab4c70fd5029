"""`python -m streams`: the process of the stream processor."""

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
_STOP_WITHIN_S = 5.0  # bounds how long a stop waits for Faust
_BEAT_S = 0.25  # between two beats


def run(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT, and returns 0, or until Faust gives up, and returns 1."""
    return asyncio.run(_run(settings))


async def _run(settings: Settings) -> int:
    started_at = time.monotonic()
    stop, stop_requested = threading.Event(), asyncio.Event()

    def request_stop() -> None:
        stop.set()
        stop_requested.set()

    for signal_number in stopping_signals():
        asyncio.get_running_loop().add_signal_handler(signal_number, request_stop)
    pulse = _Pulse()
    pulse_task = asyncio.create_task(pulse.beat())
    try:
        return await _process(settings, stop, stop_requested, started_at, pulse)
    finally:
        pulse_task.cancel()


async def _process(
    settings: Settings, stop: threading.Event, stop_requested: asyncio.Event, started_at: float, pulse: _Pulse
) -> int:
    topics_ready = asyncio.create_task(asyncio.to_thread(restore.wait_for_topics, settings, names(settings), stop))
    await asyncio.sleep(0)
    from streams.app import build  # a slow import; meanwhile the thread asks Kafka for the topics

    try:
        await topics_ready
    except restore.Stopped:
        return 0
    app = build(settings, stop)
    await app.start()
    pulse.consumer = app.consumer
    role_word.begun()
    _log.info("stream processor started", seconds=round(time.monotonic() - started_at, 2))
    return await _until_stopped(app, stop_requested)


class _Pulse:
    """Beats as long as both event loops run: this one, which runs all agents, and that of Faust's consumer thread."""

    def __init__(self) -> None:
        self.consumer: Any = None

    async def beat(self) -> None:
        """Never ends."""
        while True:
            await asyncio.sleep(_BEAT_S)
            if self.consumer is not None:
                await self.consumer.step()
            role_word.beat()


async def _until_stopped(app: Any, stop_requested: asyncio.Event) -> int:
    events = [asyncio.ensure_future(stop_requested.wait()), asyncio.ensure_future(app.wait_until_stopped())]
    await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
    for task in events:
        task.cancel()
    if not stop_requested.is_set():
        role_word.ends(f"the stream processor gave up: {app.crash_reason!r}")
        _log.error("stream processor gave up; start it again", reason=repr(app.crash_reason))
    status = 0 if stop_requested.is_set() else 1
    deadline = threading.Timer(_STOP_WITHIN_S, _exit, (status,))
    deadline.daemon = True
    deadline.start()
    await app.stop()
    return status


def _exit(status: int) -> None:
    """Ends the process: while Kafka is away, Faust waits without a limit and swallows cancellation."""
    _log.warning("stopped without waiting any longer; what was not committed is read again")
    os._exit(status)


def main() -> int:
    """Runs with the settings of environment and file; a StandfastError is logged, and its exit status returned."""
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
    # Not sys.exit: Faust's threads may still wait for a broker that is gone.
    logging.shutdown()
    os._exit(status)
