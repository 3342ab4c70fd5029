"""Which worker identities are vacant, and when a standby may take one over."""

from __future__ import annotations

import pytest

from consumers.supervision import identities
from consumers.supervision.identities import WorkerIdentities
from standfast.core import backoff


class Clock:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(backoff, "time", clock)
    monkeypatch.setattr(identities, "time", clock)
    return clock


def test_what_failed_is_tried_again_at_once_then_ever_later() -> None:
    waits = [backoff.wait_s(failures) for failures in range(100)]
    assert waits == sorted(waits)
    assert (waits[0], waits[1], waits[-1]) == (0.0, 0.01, 1.0)


def test_all_are_vacant_until_they_are_occupied(clock: Clock) -> None:
    both = WorkerIdentities(["search-0", "search-1"])
    assert both.takeable() == ["search-0", "search-1"]
    clock.now += 2.0
    assert both.occupy("search-0") == 1000.0
    assert both.takeable() == both.vacant == ["search-1"]


@pytest.mark.parametrize("lived_s", [1.5, 5.0])  # `bench failover` kills two workers every two seconds
def test_one_killed_now_and_then_is_replaced_at_once_for_ever(clock: Clock, lived_s: float) -> None:
    single = WorkerIdentities(["search-0"])
    single.occupy("search-0")
    for _ in range(200):
        clock.now += lived_s
        assert single.vacate("search-0", lived_s=lived_s) == 0.0
        assert single.takeable() == ["search-0"]
        single.occupy("search-0")
    assert single.restarts("search-0") == 200


def test_one_that_dies_whenever_it_takes_over_waits_longer_and_longer(clock: Clock) -> None:
    single = WorkerIdentities(["search-0"])
    waits = []
    for _ in range(12):
        single.occupy("search-0")
        clock.now += 0.1
        waits.append(single.vacate("search-0", lived_s=0.1))
        assert single.backs_off("search-0") == bool(waits[-1])
        clock.now += waits[-1]
        assert single.takeable() == ["search-0"]
    assert waits[:6] == [0.0, 0.0, 0.0, 0.0, 0.5, 1.0]
    assert waits == sorted(waits)
    assert max(waits) <= 30.0


def test_a_long_life_ends_the_loop(clock: Clock) -> None:
    single = WorkerIdentities(["search-0"])
    for _ in range(6):
        single.occupy("search-0")
        single.vacate("search-0", lived_s=0.1)
    assert single.backs_off("search-0")
    clock.now += 30.0
    single.occupy("search-0")
    clock.now += 60.0
    assert single.vacate("search-0", lived_s=60.0) == 0.0
    assert not single.backs_off("search-0")


def test_a_standby_has_no_restarts(clock: Clock) -> None:
    assert WorkerIdentities(["search-0"]).restarts(None) == 0
