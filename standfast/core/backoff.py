"""How long to wait before a failed call is retried, and before a process that keeps dying is restarted."""

from __future__ import annotations

import time
from collections import deque

_FIRST_S = 0.5
_LONGEST_S = 30.0
# Most failures pass within 50 ms (a leader moves, a transaction ends); during an outage there is one retry a second.
_TRIES_S = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)


def wait_s(failures: int) -> float:
    """Seconds to wait before the next try: 0 for `failures` = 0, then 10 ms up to 1 s."""
    return _TRIES_S[min(failures, len(_TRIES_S) - 1)]


def wait(failures: int) -> None:
    """Sleeps for `wait_s(failures)`."""
    time.sleep(wait_s(failures))


class Backoff:
    """The wait before each restart of one process.

    None at first; from the `deaths`-th death within `within_s` seconds on, 0.5 s, 1 s, 2 s … up to 30 s.
    """

    def __init__(self, deaths: int, within_s: float) -> None:
        self._allowed = deaths
        self._within_s = within_s
        self._recent: deque[float] = deque()
        self._in_a_row = 0
        self._until = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether the wait after the last death still runs."""
        return time.monotonic() < self._until

    def after_death(self) -> float:
        """Counts a death; returns the seconds to wait before the restart."""
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
        """Forgets past deaths, as the process has been running well."""
        self._recent.clear()
        self._in_a_row = 0
        self._until = 0.0
