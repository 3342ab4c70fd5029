"""Schedules: each due time once, in every runner, also over a change of the clocks; what was missed is said."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.catalogue.reader import BadDefinition
from drills.files import checked
from drills.schedules import SCHEDULES
from drills.schedules.clock import Clock
from drills.schedules.definition import Schedule
from drills.schedules.due import drill_id, due_times, last_due, next_due

CRONS = ["* * * * *", "*/7 * * * *", "30 2 * * *", "0 10 * * Tue", "15 1-3 * * *", "0 0 29 2 *", "59 23 31 12 *"]
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]
TIMES = st.integers(1_580_000_000, 2_050_000_000)


@given(st.sampled_from(CRONS), st.sampled_from(ZONES), TIMES, st.lists(st.integers(1, 20_000), max_size=6))
def test_however_often_it_is_looked_at_each_due_time_comes_once(
    cron: str, zone: str, start: int, steps: list[int]
) -> None:
    schedule = Schedule(cron=cron, zone=zone, drill="worker-kill")
    seen: list[int] = []
    at = reached = start
    for step in steps:
        at += step
        new = list(due_times(schedule, reached, at))
        seen += new
        reached = new[-1] if new else reached
    assert seen[:1000] == list(due_times(schedule, start, at)), "at most 1000 in one go"
    assert seen == sorted(set(seen))
    assert all(start < due <= at and due % 60 == 0 for due in seen)


@given(st.sampled_from(ZONES), TIMES)
def test_a_due_time_has_the_wall_clock_of_its_zone(zone: str, start: int) -> None:
    due = next_due(Schedule(cron="30 12 * * *", zone=zone, drill="worker-kill"), start)
    assert due is not None
    local = datetime.fromtimestamp(due, ZoneInfo(zone))
    assert (local.hour, local.minute) == (12, 30)
    assert due - start <= 26 * 3600


def test_the_day_on_which_the_clocks_change_is_a_day_as_any_other() -> None:
    before = 1_919_862_000  # 12:30 of the day before
    due = next_due(Schedule(cron="30 12 * * *", zone="America/St_Johns", drill="worker-kill"), before)
    assert due == before + 25 * 3600


def test_an_hour_that_the_clocks_skip_or_show_twice_is_due_at_most_once_a_day() -> None:
    schedule = Schedule(cron="30 2 * * *", zone="Europe/Berlin", drill="worker-kill")
    for day in (datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)):
        assert len(list(due_times(schedule, day.timestamp(), day.timestamp() + 3 * 86400))) in {2, 3}


def test_a_day_that_never_comes_is_never_due() -> None:
    assert next_due(Schedule(cron="0 0 30 2 *", drill="worker-kill"), 1_790_000_000) is None


@given(st.sets(st.integers(1, 2**40)), st.sampled_from(["a", "a-b", "a-1"]))
def test_the_latest_due_time_is_read_from_the_ids(times: set[int], name: str) -> None:
    ids = {drill_id(name, due) for due in times} | {drill_id(f"{name}-c", 5), f"{name}-x", f"{name}-1.2", name}
    assert last_due(name, ids) == max(times, default=None)


def written(text: str, changed_at: float) -> Path:
    file = SCHEDULES.own() / "night.yaml"
    file.write_text(text)
    os.utime(file, (changed_at, changed_at))
    return file


def test_a_clock_begins_each_due_time_once_and_another_clock_none_again(state: Path) -> None:
    noon = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()
    written("cron: '0 * * * *'\ndrill: worker-kill\nparams: {rate: 20}\n", noon - 600)
    clock, known = Clock(), set[str]()
    assert clock.due(known, noon - 1) == []
    (due,) = clock.due(known, noon + 2)
    assert (due.command.drill_id, due.missed) == (f"night-{noon:.0f}", "")
    assert due.command.command.params == {"rate": 20}
    assert due.command.by == "schedule night"
    assert clock.due(known, noon + 3) == []
    assert clock.due(known, noon - 50) == [], "the clock was set back"
    assert Clock().due({due.command.drill_id}, noon + 4) == [], "another runner, after a restart"


def test_what_was_missed_is_said_once_and_not_made_up_for(state: Path) -> None:
    noon = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()
    written("cron: '0 * * * *'\ndrill: worker-kill\n", noon - 3 * 3600 - 600)
    late = Clock().due(set(), noon + 1800)
    assert [due.command.drill_id for due in late] == [f"night-{noon:.0f}"]
    assert "4 times of the schedule night were missed, 2026-11-27 09:00 UTC to 2026-11-27 12:00 UTC" in late[0].missed
    missed, begins = Clock().due(set(), noon + 2)
    assert missed.command.drill_id == f"night-{noon - 3600:.0f}"
    assert "3 times" in missed.missed
    assert (begins.command.drill_id, begins.missed) == (f"night-{noon:.0f}", "")
    known = {missed.command.drill_id, begins.command.drill_id}
    assert Clock().due(known, noon + 5) == []


def test_a_schedule_that_is_not_enabled_begins_nothing(state: Path) -> None:
    noon = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()
    written("cron: '0 * * * *'\ndrill: worker-kill\nenabled: false\n", noon - 600)
    assert Clock().due(set(), noon + 2) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cron: '0 25 * * *'\ndrill: a\n", ":1: '0 25 * * *' cannot be read"),
        ("cron: '* * * * * *'\ndrill: a\n", "cannot be read"),
        ("cron: '@daily'\ndrill: a\n", "cannot be read"),
        ("cron: '0 1 * * *'\n", "either a drill or a campaign"),
        ("cron: '0 1 * * *'\ndrill: a\ncampaign: b\n", "either a drill or a campaign"),
        ("cron: '0 1 * * *'\ndrill: a\nzone: Europe/Berlyn\n", ":3: 'Europe/Berlyn' is no time zone"),
        ("cron: '0 1 * * *'\ndrill: a\nparms: {}\n", ":3: there is no key 'parms' here; did you mean params?"),
        ("cron: '0 1 * * *'\ncampaign: a\nparams: {rate: 1}\n", "belong to a drill"),
        ("cron: '0 1 * * *'\ndrill: a\ngrace_s: 0\n", "grace_s = 0"),
        ("cron: '0 1 * * *'\ndrill: worker-kil\n", ":2: there is no drill 'worker-kil'; did you mean worker-kill?"),
        ("cron: '0 1 * * *'\ncampaign: workers-random\n", "did you mean workers-at-random?"),
    ],
)
def test_a_wrong_schedule_is_said_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "night.yaml"
    file.write_text(text)
    with pytest.raises(BadDefinition, match=re.escape(why)):
        checked(file)
