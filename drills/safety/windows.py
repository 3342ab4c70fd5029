"""Blocked windows: times in which no drill runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from standfast.core.errors import DrillRejected
from standfast.core.windows import window


def refuse_if_blocked(windows: Iterable[str], at: float, for_s: float) -> None:
    """Raises DrillRejected if a drill that begins `at` (epoch seconds) would run in a window at any time of `for_s`."""
    for blocked in map(window, windows):
        for moment in _moments(at, for_s):
            if blocked.holds(moment):
                local = moment.astimezone(blocked.zone)
                when = "now" if moment == next(_moments(at, 0)) else f"before the drill is over ({for_s:.0f} s at most)"
                raise DrillRejected(
                    f"no drill runs in the blocked window {blocked.text}, and it is {local:%a %H:%M} there {when}; see "
                    "the setting drills.blocked"
                )


def _moments(at: float, for_s: float) -> Iterator[datetime]:
    """The beginning, each minute after it and the end: no window is shorter than a minute."""
    begin = datetime.fromtimestamp(at, UTC)
    for minute in range(int(for_s // 60) + 1):
        yield begin + timedelta(minutes=minute)
    if for_s > 0:
        yield begin + timedelta(seconds=for_s)
