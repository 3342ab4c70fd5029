"""Calls that may never return are given up in time, also when outages were seen before."""

from __future__ import annotations

import threading

import pytest

from consumers.bounded import Hung, Patience, bounded


def test_a_call_gives_what_it_returns_or_raises() -> None:
    assert bounded(lambda: 7, 10) == 7
    with pytest.raises(ZeroDivisionError):
        bounded(lambda: 1 // 0, 10)


def test_a_call_that_does_not_return_is_left_behind() -> None:
    end = threading.Event()
    with pytest.raises(Hung):
        bounded(end.wait, 0.05)
    end.set()


def test_one_outage_does_not_make_the_next_one_longer() -> None:
    patience = Patience(0.4)
    for _ in range(5):
        patience.returned(0.01)
    patience.returned(3.0)
    assert patience.seconds == 0.4


def test_what_is_always_slow_is_waited_for_longer_and_so_is_what_hung_before() -> None:
    patience = Patience(0.4)
    for _ in range(5):
        patience.returned(0.2)
    assert patience.seconds == pytest.approx(1.6)
    patience.hung()
    patience.hung()
    assert patience.seconds == pytest.approx(6.4)
    patience.returned(0.2)
    assert patience.seconds == pytest.approx(1.6)
