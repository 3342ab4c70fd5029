"""Which kind of file a user has written: a drill, a campaign or a schedule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from drills import params
from drills.campaigns import CAMPAIGNS
from drills.campaigns.definition import Campaign
from drills.catalogue import drill_in, find, own_folder
from drills.catalogue.marked_yaml import Path as YamlPath
from drills.catalogue.marked_yaml import marked
from drills.schedules import SCHEDULES
from drills.schedules.definition import Schedule
from drills.targets import target_mistakes
from schemas.records import Scalar
from standfast.core.errors import DrillRejected

_LARGEST = 1_000_000  # bytes


def checked(file: Path) -> tuple[str, Path]:
    """What the file is, and the folder in which the runner finds it; raises BadDefinition for a file with mistakes.

    The runner reads a campaign or a schedule that names an unknown drill, and rejects the drill when its time has come.
    """
    keys = _keys(file)
    if "cron" in keys:
        SCHEDULES.read(file, _unknown_in_schedule)
        return "schedule", SCHEDULES.own()
    if keys & {"steps", "random"}:
        CAMPAIGNS.read(file, _unknown_in_campaign)
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


def _unknown_in_schedule(schedule: Schedule) -> Iterator[tuple[YamlPath, str]]:
    if schedule.drill is not None:
        yield from _unknown(("drill",), schedule.drill, schedule.params, schedule.target)
    if schedule.campaign is not None:
        try:
            CAMPAIGNS.find(schedule.campaign)
        except DrillRejected as error:
            yield ("campaign",), str(error)


def _unknown_in_campaign(campaign: Campaign) -> Iterator[tuple[YamlPath, str]]:
    for number, step in enumerate(campaign.steps):
        for drill in step.drills:
            yield from _unknown(("steps", number), drill.drill, drill.params, drill.target)
    if campaign.random is not None:
        for name in campaign.random.drills:
            yield from _unknown(("random", "drills"), name, campaign.random.params, {})


def _unknown(
    path: YamlPath, name: str, values: Mapping[str, Scalar], target: Mapping[str, Scalar]
) -> Iterator[tuple[YamlPath, str]]:
    try:
        drill = find(name)
        params.checked(values, drill.params, name)
    except DrillRejected as error:
        yield path, str(error)
        return
    for _, mistake in target_mistakes(target, drill.targets, name):
        yield path, mistake
