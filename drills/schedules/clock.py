"""Begins what is due by the schedules, each due time once, and says which ones were missed."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from drills.control.commands import Received
from drills.schedules import SCHEDULES
from drills.schedules.definition import Schedule
from drills.schedules.due import drill_id, due_times, last_due
from schemas.codec import Encoding
from schemas.records import DrillCommand

_LOOK_EVERY_S = 1.0
_LOOK_AT_FILES_EVERY_S = 5.0
_NAME = re.compile(r"[A-Za-z0-9._-]{1,80}")


@dataclass(frozen=True, slots=True)
class Due:
    """A command that is due; `missed` says why it is not to begin, "" for one that begins."""

    command: Received
    missed: str = ""


class Clock:
    """The schedules of this machine, looked at once a second."""

    def __init__(self) -> None:
        self._schedules: dict[str, Schedule] = {}
        self._reached: dict[str, int] = {}  # the latest due time that was dealt with
        self._looked_at = self._files_at = float("-inf")

    def due(self, known_ids: set[str], now: float | None = None) -> list[Due]:
        """What is due now; `known_ids` are the ids of all drills that have an event."""
        if now is None:
            if time.monotonic() - self._looked_at < _LOOK_EVERY_S:
                return []
            self._looked_at = time.monotonic()
        at = time.time() if now is None else now
        self._read(known_ids)
        return [due for name, schedule in self._schedules.items() for due in self._of(name, schedule, at, known_ids)]

    def _of(self, name: str, schedule: Schedule, at: float, known_ids: set[str]) -> list[Due]:
        times = list(due_times(schedule, self._reached[name], at))
        if not times:
            return []
        self._reached[name] = times[-1]
        latest = times[-1]
        if not schedule.enabled or drill_id(name, latest) in known_ids:
            return []
        command = _command(name, schedule, latest)
        missed = times if at - latest > schedule.grace_s else times[:-1]
        if not missed:
            return [Due(command)]
        said = f"{len(missed)} times of the schedule {name} were missed, {_said(missed[0])} to {_said(missed[-1])}, "
        said += "because no drill runner was there then; nothing is made up for"
        if missed[-1] == latest:
            return [Due(command, said)]
        return [Due(_command(name, schedule, missed[-1]), said), Due(command)]

    def _read(self, known_ids: set[str]) -> None:
        if time.monotonic() - self._files_at < _LOOK_AT_FILES_EVERY_S:
            return
        self._files_at = time.monotonic()
        schedules = {name: schedule for name, schedule in SCHEDULES.all().items() if _NAME.fullmatch(name)}
        files = SCHEDULES.files()
        for name, schedule in schedules.items():
            if self._schedules.get(name) != schedule:
                self._reached[name] = max(_changed_at(files[name]), last_due(name, known_ids) or 0)
        self._schedules = schedules


def _changed_at(path: Path) -> int:
    """A time before its file existed was not missed."""
    try:
        return int(path.stat().st_mtime)
    except OSError:
        return int(time.time())


def _command(name: str, schedule: Schedule, due: int) -> Received:
    own_id = drill_id(name, due)
    command = DrillCommand(
        drill=schedule.drill,
        campaign=schedule.campaign,
        drill_id=own_id,
        target=schedule.target,
        params=schedule.params,
        duration_s=schedule.duration_s,
        seed=schedule.seed,
        requested_by=schedule.requested_by or f"schedule {name}",
    )
    return Received(f"schedule {name}@{due}", own_id, Encoding.JSON, command, own_id)


def _said(due: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(due))
