"""The stream processor beats only while both of its event loops run: a thread that hangs or has ended is noticed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from standfast.core.processes import role_word
from streams import __main__ as main
from streams import transport


class ReadingThread:
    """The event loop of Faust's consumer thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.consumer = transport._Consumer.__new__(transport._Consumer)
        self.consumer._thread = SimpleNamespace(thread_loop=self.loop)

    def end(self) -> None:
        """Ends the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


@pytest.fixture
def reader() -> Iterator[ReadingThread]:
    made = ReadingThread()
    yield made
    if made.thread.is_alive():
        made.end()
    made.loop.close()


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    times: list[float] = []
    monkeypatch.setattr(role_word, "beat", lambda: times.append(time.monotonic()))
    monkeypatch.setattr(main, "_BEAT_S", 0.01)
    return times


async def more(beats: list[float], pulse: main._Pulse, within_s: float) -> bool:
    """Whether a beat comes within `within_s` seconds."""
    seen, beating = len(beats), asyncio.create_task(pulse.beat())
    until = time.monotonic() + within_s
    while len(beats) == seen and time.monotonic() < until:
        await asyncio.sleep(0.01)
    beating.cancel()
    return len(beats) > seen


def test_steps_are_made_before_there_is_a_consumer_and_while_its_loop_goes_on(
    reader: ReadingThread, beats: list[float]
) -> None:
    pulse = main._Pulse()
    assert asyncio.run(more(beats, pulse, 30))
    pulse.consumer = reader.consumer
    assert asyncio.run(more(beats, pulse, 30))


def test_no_step_is_made_while_the_thread_that_reads_hangs(reader: ReadingThread, beats: list[float]) -> None:
    pulse, hangs, hanging = main._Pulse(), threading.Event(), threading.Event()
    pulse.consumer = reader.consumer

    def hang() -> None:
        hanging.set()
        hangs.wait()

    reader.loop.call_soon_threadsafe(hang)
    assert hanging.wait(30)
    assert not asyncio.run(more(beats, pulse, 0.5))
    hangs.set()
    assert asyncio.run(more(beats, pulse, 30))


@pytest.mark.parametrize("closed", [False, True])
def test_no_step_is_made_once_the_thread_that_reads_has_ended(
    reader: ReadingThread, beats: list[float], closed: bool
) -> None:
    pulse = main._Pulse()
    pulse.consumer = reader.consumer
    reader.end()
    if closed:
        reader.loop.close()
    assert not asyncio.run(more(beats, pulse, 0.5))
