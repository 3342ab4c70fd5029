"""Windows of the week or of the day, such as `Fri 16:00-Mon 08:00 Europe/Berlin`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = 24 * 60  # minutes
_WEEK = 7 * _DAY
_FORM = re.compile(
    r"(?:(?P<day>[A-Z][a-z]{2}) )?(?P<hour>\d\d):(?P<minute>\d\d)-(?:(?P<end_day>[A-Z][a-z]{2}) )?"
    r"(?P<end_hour>\d\d):(?P<end_minute>\d\d) (?P<zone>[A-Za-z0-9_+/-]+)"
)
_HOW = "give it as `Fri 16:00-Mon 08:00 Europe/Berlin` (or daily: `22:00-06:00 UTC`)"


@dataclass(frozen=True, slots=True)
class BlockedWindow:
    """One window, by the clock of its time zone: from `start`, before `end`, in minutes of the week or the day."""

    text: str
    start: int
    end: int
    daily: bool
    zone: ZoneInfo

    def holds(self, at: datetime) -> bool:
        """Whether that moment, which has a time zone, is in the window."""
        local = at.astimezone(self.zone)
        minute = local.hour * 60 + local.minute + (0 if self.daily else local.weekday() * _DAY)
        length = (self.end - self.start) % (_DAY if self.daily else _WEEK)
        return (minute - self.start) % (_DAY if self.daily else _WEEK) < length


def window(text: str) -> BlockedWindow:
    """The window in a text; raises ValueError with what would be right."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r:.100} is no window: {_HOW}")
    if (match["day"] is None) != (match["end_day"] is None):
        raise ValueError(f"{text!r:.100} has one day of the week: give both or none; {_HOW}")
    start, end = _minutes(match, ""), _minutes(match, "end_")
    daily = match["day"] is None
    if (end - start) % (_DAY if daily else _WEEK) == 0:
        raise ValueError(f"{text!r:.100} begins when it ends, which may mean always or never; {_HOW}")
    try:
        zone = ZoneInfo(match["zone"])
    except (KeyError, ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError; OSError for a folder
        raise ValueError(f"{match['zone']!r} in {text!r:.100} is no time zone ({error}); {_HOW}") from None
    return BlockedWindow(text.strip(), start, end, daily, zone)


def _minutes(match: re.Match[str], which: str) -> int:
    hour, minute, day = int(match[which + "hour"]), int(match[which + "minute"]), match[which + "day"]
    if day is not None and day not in _DAYS:
        raise ValueError(f"{day} is no day of the week: there are {', '.join(_DAYS)}")
    if minute > 59 or hour * 60 + minute > _DAY:
        raise ValueError(f"{hour:02}:{minute:02} is no time of day; 24:00 is the last")
    return hour * 60 + minute + (_DAYS.index(day) * _DAY if day is not None else 0)
