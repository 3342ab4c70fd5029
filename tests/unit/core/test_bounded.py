"""Calls that may never return are given up in time, also after earlier outages."""

from __future__ import annotations

import threading
import weakref

import pytest

from standfast.core.bounded import CallThread, CallTimeout, Hung
from tests.waiting import wait_until


def test_a_call_raises_what_it_raises_and_the_next_is_made_in_the_same_thread() -> None:
    beside, threads = CallThread(), list[int]()
    beside.call(lambda: threads.append(threading.get_ident()), 10)
    with pytest.raises(ZeroDivisionError):
        beside.call(lambda: 1 // 0, 10)
    beside.call(lambda: threads.append(threading.get_ident()), 10)
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


def test_a_call_that_does_not_return_is_left_behind_and_the_next_is_made() -> None:
    beside, end, made = CallThread(), threading.Event(), list[int]()
    with pytest.raises(Hung):
        beside.call(end.wait, 0.05)
    beside.call(lambda: made.append(1), 10)
    end.set()
    assert made == [1]


def test_nothing_of_a_call_that_has_returned_is_kept() -> None:
    class Held:
        def use(self) -> None: ...

    beside, held = CallThread(), Held()
    gone = weakref.ref(held)
    beside.call(held.use, 10)
    del held
    wait_until(lambda: gone() is None, 10)


def test_one_outage_does_not_make_the_next_one_longer() -> None:
    patience = CallTimeout(0.4)
    for _ in range(5):
        patience.returned(0.01)
    patience.returned(3.0)
    assert patience.seconds == 0.4


def test_what_is_always_slow_is_waited_for_longer_and_so_is_what_hung_before() -> None:
    patience = CallTimeout(0.4)
    for _ in range(5):
        patience.returned(0.2)
    assert patience.seconds == pytest.approx(1.6)
    waits = []
    for _ in range(4):
        patience.hung()
        waits.append(patience.seconds)
    assert waits == pytest.approx([1.6, 1.6, 3.2, 6.4])
    patience.returned(0.2)
    assert patience.seconds == pytest.approx(1.6)
