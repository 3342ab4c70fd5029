"""Tells a process that keeps ending from one that ended once."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_STEADY_S = 60.0
_MANY = 3  # deaths in a row from which on a process counts as one that keeps ending


class Deaths:
    """The deaths of one process that is started again each time.

    A series of deaths ends when the process has run for a minute. Time in which it hung does not count, so a process
    that hangs for a minute after each start keeps ending too. `count` counts all deaths; `last` is the last cause.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._in_a_row = 0
        self._why = ""
        self._lives_since: float | None = None
        self._since = 0
        self._still_s = 0.0
        self.count = 0
        self.last = ""

    def started(self) -> None:
        """Notes that the process was started."""
        self._lives_since, self._still_s = time.monotonic(), 0.0

    def idle(self, for_s: float) -> None:
        """Notes that the process runs, but has done nothing for this time."""
        self._still_s = for_s

    def died(self, why: str) -> None:
        """Notes that the process ended, and why."""
        self._forget_old()
        if not self._in_a_row:
            self._since = int(time.time() * 1000)
        self._in_a_row += 1
        self.count += 1
        self.last = self._why = why
        self._lives_since = None

    @property
    def since(self) -> int:
        """When the present series began, in epoch ms, while the process keeps ending; else 0."""
        return self._since if self.failing else 0

    @property
    def failing(self) -> str:
        """That the process keeps ending, since when and with what error; empty while it does not."""
        self._forget_old()
        if self._in_a_row < _MANY:
            return ""
        return f"{self._name} keeps ending, {self._in_a_row} times since {time_of_day(self._since)}: {self._why}"

    def _forget_old(self) -> None:
        if self._lives_since is not None and time.monotonic() - self._lives_since - self._still_s > _STEADY_S:
            self._in_a_row, self._since, self._why = 0, 0, ""


def time_of_day(at_ms: int) -> str:
    """An epoch time in milliseconds as `14:03:59 UTC`."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S UTC")
