"""What a schedule's file may say."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from croniter import croniter
from msgspec import field

from drills.catalogue.definition import DefinitionPart
from drills.catalogue.marked_yaml import Path
from schemas.records import Scalar


class Schedule(DefinitionPart, frozen=True):
    """When a drill or a campaign begins. Its name is that of its file.

    Args:
        cron: minute, hour, day of the month, month, day of the week, as crontab has them.
        zone: the time zone of `cron`.
        drill, campaign: what begins; exactly one of them.
        params, target, seed, duration_s: as a command has them.
        grace_s: what could not begin so long after its time is left out, and said.
        enabled: false: nothing begins.
        requested_by: who asks for it; left out: `schedule NAME`.
    """

    cron: str
    drill: str | None = None
    campaign: str | None = None
    zone: str = "UTC"
    params: dict[str, Scalar] = field(default_factory=dict)
    target: dict[str, Scalar] = field(default_factory=dict)
    seed: int | None = None
    duration_s: float | None = None
    grace_s: float = 60.0
    enabled: bool = True
    requested_by: str | None = None


def wrongs(schedule: Schedule) -> Iterator[tuple[Path, str]]:
    """Each thing that is wrong, and where. Whether drill and campaign exist is looked at when they begin."""
    if len(schedule.cron.split()) != 5 or not _is_cron(schedule.cron):
        how = "give minute, hour, day, month and day of the week, such as `0 10 * * Tue`"
        yield ("cron",), f"{schedule.cron!r:.100} cannot be read: {how}"
    if (schedule.drill is None) == (schedule.campaign is None):
        yield (), "a schedule has either a drill or a campaign"
    if schedule.campaign is not None and (schedule.params or schedule.target or schedule.duration_s is not None):
        yield (), "params, target and duration_s belong to a drill"
    if not 1 <= schedule.grace_s <= 3600:
        yield ("grace_s",), f"grace_s = {schedule.grace_s:g}: give 1 to 3600 seconds"
    try:
        ZoneInfo(schedule.zone)
    except (KeyError, ValueError, OSError):
        yield ("zone",), f"{schedule.zone!r:.100} is no time zone, such as Europe/Berlin"


def _is_cron(text: str) -> bool:
    try:
        return bool(croniter.is_valid(text))
    except Exception:  # noqa: BLE001 - croniter raises what it likes for texts that it did not expect
        return False
