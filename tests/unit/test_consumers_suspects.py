"""Which records are suspected of killing workers, and how long what keeps dying has to wait."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.supervision import announced
from consumers.suspects import Suspects
from standfast import backoff
from standfast.backoff import Backoff

Records = list[tuple[int, int]]


def test_nothing_is_suspected_at_first(tmp_path: Path) -> None:
    assert Suspects(tmp_path / "suspects.json").read() == {}


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=5, unique=True), max_size=6))
def test_every_death_is_counted(tmp_path_factory: pytest.TempPathFactory, deaths: list[Records]) -> None:
    path = tmp_path_factory.getbasetemp() / "counted.json"
    path.unlink(missing_ok=True)
    for computing in deaths:
        Suspects(path).blame(computing)
    assert Suspects(path).read() == Counter(record for computing in deaths for record in computing)


def test_the_file_does_not_grow_for_ever_and_keeps_the_newest(tmp_path: Path) -> None:
    suspects = Suspects(tmp_path / "suspects.json")
    suspects.blame((0, offset) for offset in range(10_000))
    suspects.blame([(0, 0), (1, 1)])
    kept = suspects.read()
    assert len(kept) == 10_000
    assert (kept[0, 0], kept[1, 1]) == (2, 1)


def test_an_announced_kill_is_remembered_once(state: Path) -> None:
    announced.announce(4242)
    assert announced.was_announced(4242)
    assert not announced.was_announced(4242)
    assert not announced.was_announced(4243)


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(backoff, "time", made)
    return made


def test_single_deaths_cost_nothing(clock: Clock) -> None:
    waits = Backoff(deaths=5, within_s=30)
    for _ in range(20):
        assert waits.after_death() == 0
        assert not waits.is_waiting
        clock.now += 8


def test_a_crash_loop_waits_longer_each_time_but_not_for_ever(clock: Clock) -> None:
    waits = Backoff(deaths=3, within_s=60)
    delays = []
    for _ in range(10):
        delays.append(waits.after_death())
        clock.now += delays[-1]
    assert delays == [0, 0, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_it_says_while_it_waits(clock: Clock) -> None:
    waits = Backoff(deaths=1, within_s=60)
    delay = waits.after_death()
    assert waits.is_waiting
    clock.now += delay
    assert not waits.is_waiting


def test_what_lives_again_starts_from_nothing(clock: Clock) -> None:
    waits = Backoff(deaths=1, within_s=60)
    waits.after_death()
    waits.after_death()
    waits.forget()
    assert not waits.is_waiting
    assert waits.after_death() == 0.5
