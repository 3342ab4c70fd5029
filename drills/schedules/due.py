"""When a schedule is due. Pure: the same schedule and times give the same answer in every runner."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

from drills.schedules.definition import Schedule

_MOST = 1000  # due times that are looked at in one go


def due_times(schedule: Schedule, after: float, until: float) -> Iterator[int]:
    """The times (epoch seconds) later than `after` and not later than `until`, at most 1000 of them.

    The times are found on the clock of the wall, without a zone, and placed in the zone then. With a zone croniter 5
    made 13:30 of 12:30 on a day on which the clocks of St. John's changed. A time that the clocks skip is not due on
    that day, one that they show twice is due at the first.
    """
    zone = ZoneInfo(schedule.zone)
    begin = datetime.fromtimestamp(int(after), zone).replace(tzinfo=None)
    times = croniter(schedule.cron, begin, max_years_between_matches=5)
    last = int(after)
    for _ in range(_MOST):
        try:
            wall = times.get_next(datetime)
        except CroniterBadDateError:  # the 30th of February
            return
        due = int(wall.replace(tzinfo=zone).timestamp())
        if due > until:
            return
        is_skipped = datetime.fromtimestamp(due, zone).replace(tzinfo=None) != wall
        if due > last and not is_skipped:
            last = due
            yield due


def next_due(schedule: Schedule, after: float) -> int | None:
    """The first due time later than `after`; None if there is none."""
    return next(due_times(schedule, after, float("inf")), None)


def drill_id(name: str, due: int) -> str:
    """The id of what begins then: the same in every runner, so that none begins it twice."""
    return f"{name}-{due}"


def last_due(name: str, ids: set[str]) -> int | None:
    """The latest due time that has an event already, by the ids of the outcome stream."""
    start = f"{name}-"
    times = [
        int(text) for text in (known[len(start) :] for known in ids if known.startswith(start)) if text.isdecimal()
    ]
    return max(times, default=None)
