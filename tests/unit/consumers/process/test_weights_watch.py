"""The watch over weights in memory: every chunk is compared in each round, and damage ends the watch."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from consumers.process.weights_watch import WeightsWatch
from models.weights import CHUNK, Weights
from tests.waiting import wait_until


class Noted(Weights):
    """Notes which chunks are compared."""

    def __init__(self, chunks: int) -> None:
        self.memory = np.zeros(chunks * CHUNK, np.uint8)
        super().__init__([self.memory])
        self.seen: list[int] = []

    def damage(self, first: int = 0, count: int = 1 << 30) -> str:
        self.seen += range(first, min(first + count, len(self)))
        return super().damage(first, count)


@pytest.mark.parametrize(("chunks", "every_s"), [(1, 0.1), (3, 0.2), (40, 0.5), (100, 0.2)])
def test_each_round_compares_all_and_takes_as_long_as_it_is_to(
    monkeypatch: pytest.MonkeyPatch, chunks: int, every_s: float
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    weights = Noted(chunks)
    watch = WeightsWatch(weights, every_s)
    while now < 1000.0 + every_s - 1e-6:
        watch.step()
        now += 0.001
    once = list(range(chunks))
    assert weights.seen[:chunks] == once
    assert chunks <= len(weights.seen) <= chunks + 8, "one round, and at most the slice that begins the next one"


def test_a_process_that_stood_still_does_not_make_up_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    weights = Noted(10)
    watch = WeightsWatch(weights, 1.0)
    watch.step()
    now += 3600.0
    weights.seen.clear()
    watch.step()
    assert len(weights.seen) <= 22, "two rounds, not an hour of them"


def test_a_thread_finds_a_flipped_bit_by_itself_and_says_so_once() -> None:
    weights, said = Noted(8), list[str]()
    WeightsWatch(weights, 0.2).start(said.append)
    wait_until(lambda: 7 in weights.seen, what="a round")
    assert said == []
    weights.memory[5 * CHUNK + 7] ^= 4
    wait_until(lambda: said, what="what is wrong")
    assert said == [f"list[0] is not what was loaded, from its byte {5 * CHUNK:,} on"]
    wait_until(lambda: not _watching(weights), what="the end of the watch")


@pytest.mark.parametrize("every_s", [0.0, 3600.0])
def test_a_thread_that_is_hurried_compares_all_at_once(every_s: float) -> None:
    weights, said = Noted(8), list[str]()
    watch = WeightsWatch(weights, every_s)
    watch.start(said.append)
    weights.memory[-1] ^= 1
    watch.hurry()
    wait_until(lambda: said, what="what is wrong")


def test_a_watch_that_is_switched_off_compares_nothing() -> None:
    weights = Noted(3)
    watch = WeightsWatch(weights, 0.0)
    assert watch.step() == ""
    assert weights.seen == []


def _watching(_: Weights) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "weights" and thread.is_alive()]
