"""How long to wait before what failed is tried again, and before a process that keeps dying is started again."""

from __future__ import annotations

import time
from collections import deque

_FIRST_S = 0.5
_LONGEST_S = 30.0
# Most failures pass within 50 ms (a leader moves, a transaction ends); an outage is asked about once a second.
_TRIES_S = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)


def wait_s(failures: int) -> float:
    """Seconds to wait before the next try. Who is to try again at once after a first failure counts from 0."""
    return _TRIES_S[min(failures, len(_TRIES_S) - 1)]


def wait(failures: int) -> None:
    """Waits that long."""
    time.sleep(wait_s(failures))


class Backoff:
    """No wait for the first deaths; from `deaths` within `within_s` seconds on, 0.5 s, 1 s, 2 s … up to 30 s."""

    def __init__(self, deaths: int, within_s: float) -> None:
        self._allowed = deaths
        self._within_s = within_s
        self._recent: deque[float] = deque()
        self._in_a_row = 0
        self._until = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether the wait that the last death earned is still running."""
        return time.monotonic() < self._until

    def after_death(self) -> float:
        """Counts a death; returns the seconds to wait now, 0 for none."""
        now = time.monotonic()
        self._recent.append(now)
        while now - self._recent[0] > self._within_s:
            self._recent.popleft()
        if len(self._recent) < self._allowed:
            self._in_a_row = 0
            return 0.0
        delay = min(_LONGEST_S, _FIRST_S * 2.0**self._in_a_row)
        self._in_a_row += 1
        self._until = now + delay
        return delay

    def forget(self) -> None:
        """It lives: past deaths count no more."""
        self._recent.clear()
        self._in_a_row = 0
        self._until = 0.0
