"""Blocked windows: by the wall clock of their zone, to the minute, also over a change of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drills.safety.windows import refuse_if_blocked
from standfast.core.errors import DrillRejected
from standfast.core.settings import DrillSettings
from standfast.core.windows import window

DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]
MOMENTS = st.integers(1_580_000_000, 2_050_000_000).map(lambda second: datetime.fromtimestamp(second, UTC))
MINUTES = st.integers(0, 7 * 1440 - 1)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def written(minute: int) -> str:
    return f"{DAYS[minute // 1440]} {minute % 1440 // 60:02}:{minute % 60:02}"


@given(MINUTES, MINUTES, st.sampled_from(ZONES), MOMENTS)
def test_a_moment_is_in_a_window_or_in_its_complement(start: int, end: int, zone: str, moment: datetime) -> None:
    if start == end:
        return
    inside = window(f"{written(start)}-{written(end)} {zone}")
    outside = window(f"{written(end)}-{written(start)} {zone}")
    assert inside.holds(moment) != outside.holds(moment)


@given(MINUTES, st.integers(1, 7 * 1440 - 1), st.sampled_from(ZONES), MOMENTS)
def test_a_window_holds_by_the_wall_clock(start: int, length: int, zone: str, moment: datetime) -> None:
    week = window(f"{written(start)}-{written((start + length) % (7 * 1440))} {zone}")
    local = moment.astimezone(week.zone)
    passed = (local.weekday() * 1440 + local.hour * 60 + local.minute - start) % (7 * 1440)
    assert week.holds(moment) == (passed < length)


@given(MINUTES, st.integers(1, 600), st.integers(0, 3600), MOMENTS)
def test_no_drill_is_let_in_that_would_run_in_the_window(start: int, length: int, for_s: int, moment: datetime) -> None:
    text = f"{written(start)}-{written((start + length) % (7 * 1440))} Europe/Berlin"
    seconds = [moment + timedelta(seconds=second) for second in range(0, for_s + 1, 7)]
    runs_in_it = any(window(text).holds(second) for second in seconds)
    try:
        refuse_if_blocked([text], moment.timestamp(), for_s)
    except DrillRejected:
        return
    assert not runs_in_it


def test_a_weekend_is_blocked_with_its_reason() -> None:
    blocked = ["Fri 16:00-Mon 08:00 Europe/Berlin"]
    refuse_if_blocked(blocked, at("2026-11-27T14:58:00+00:00"), 60)
    with pytest.raises(DrillRejected, match="before the drill is over"):
        refuse_if_blocked(blocked, at("2026-11-27T14:58:00+00:00"), 180)
    with pytest.raises(DrillRejected, match=r"it is Fri 16:00 there now; see the setting drills\.blocked"):
        refuse_if_blocked(blocked, at("2026-11-27T15:00:30+00:00"), 60)
    with pytest.raises(DrillRejected, match="it is Mon 07:59"):
        refuse_if_blocked(blocked, at("2026-11-30T06:59:59+00:00"), 0)
    refuse_if_blocked(blocked, at("2026-11-30T07:00:00+00:00"), 60)


def test_a_night_is_blocked_every_day() -> None:
    for day in range(20, 27):
        assert window("22:00-06:00 UTC").holds(datetime(2026, 11, day, 23, tzinfo=UTC))
        assert window("22:00-06:00 UTC").holds(datetime(2026, 11, day, 5, 59, tzinfo=UTC))
        assert not window("22:00-06:00 UTC").holds(datetime(2026, 11, day, 6, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no window"),
        ("16:00-18:00", "is no window"),
        ("Fri 16:00-18:00 UTC", "give both or none"),
        ("16:00-16:00 UTC", "begins when it ends"),
        ("16:60-18:00 UTC", "no time of day"),
        ("24:01-25:00 UTC", "no time of day"),
        ("Fre 16:00-Mon 08:00 UTC", "no day of the week: there are Mon"),
        ("16:00-18:00 Europe/Berlyn", "is no time zone"),
        ("16:00-18:00 ../../etc/passwd", "is no window"),
        ("16:00-18:00 Europe", "is no time zone"),
    ],
)
def test_a_wrong_window_stops_the_start_with_what_would_be_right(text: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        DrillSettings(blocked=(text,))
