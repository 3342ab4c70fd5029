"""Which kind of file a user has written: a drill, a campaign or a schedule."""

from __future__ import annotations

from pathlib import Path

from drills.campaigns import CAMPAIGNS
from drills.catalogue import drill_in, own_folder
from drills.catalogue.marked_yaml import marked
from drills.schedules import SCHEDULES

_LARGEST = 1_000_000  # bytes


def checked(file: Path) -> tuple[str, Path]:
    """What the file is, and the folder in which the runner finds it; raises BadDefinition for a file with mistakes."""
    keys = _keys(file)
    if "cron" in keys:
        SCHEDULES.read(file)
        return "schedule", SCHEDULES.own()
    if keys & {"steps", "random"}:
        CAMPAIGNS.read(file)
        return "campaign", CAMPAIGNS.own()
    drill_in(file)
    return "drill", own_folder()


def _keys(file: Path) -> set[str]:
    """The file's keys; none if it cannot be read, which the reader of drills then says."""
    try:
        if file.stat().st_size > _LARGEST:
            return set()
        data = marked(file.read_text(encoding="utf-8")).data
    except (OSError, UnicodeError):
        return set()
    return set(data) if isinstance(data, dict) else set()
