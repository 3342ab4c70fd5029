"""The consumers that a standby keeps connected: each is taken, or closed exactly once."""

from __future__ import annotations

import threading
import time

import pytest

from consumers.process.seats import Seats
from consumers.service import service
from standfast.core.services.search import SearchSettings
from standfast.core.settings import Settings


class _Seat:
    """A consumer whose close takes 20 ms. A second close of a real consumer never returns."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1
        time.sleep(0.02)


def test_two_threads_close_each_consumer_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[_Seat] = []

    def make(_seats: Seats, _identity: str) -> _Seat:
        made.append(_Seat())
        return made[-1]

    monkeypatch.setattr(Seats, "_made", make)
    settings = Settings(search=SearchSettings(workers=4))
    seats = Seats(service("search", settings), settings, "search-s0")
    taken = seats.take("search-2")
    closers = [threading.Thread(target=seats.close) for _ in range(2)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join()
        assert all(seat.closed == (seat is not taken) for seat in made), "still open when `close` returned"
    assert len(made) == 4
