"""Runs a campaign: begins its drills one step after the other, and writes what became of them under the campaign's id.

The campaign's first event has its whole definition, so another runner goes on with the same drills, whatever has become
of the file. A drill's id is the campaign's and a number, and drills that have an event are known: none begins twice.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Collection

import msgspec
import structlog

from drills.campaigns import CAMPAIGNS
from drills.campaigns.definition import Campaign, wrongs
from drills.campaigns.members import members
from drills.campaigns.progress import CampaignProgress
from drills.control.commands import Received, campaign_event
from drills.control.outcomes import Outcome, last_unfinished
from drills.running import answers
from drills.running.plan import make_plan
from drills.running.underway import Underway
from drills.safety import lever
from schemas.codec import Encoding
from schemas.records import DrillCommand, DrillEvent
from standfast.core.errors import DrillRejected, StandfastError
from standfast.core.settings import Settings

_LOOK_EVERY_S = 0.5  # at the system's status, before a step
_LONGEST_ID = 110  # characters: a drill's id is the campaign's with a point and four digits
_log = structlog.get_logger()


class Campaigns:
    """The campaign that runs, if any; everything is called from the runner's thread."""

    def __init__(self, settings: Settings, underway: Underway) -> None:
        self._settings = settings
        self._underway = underway
        self._progress: CampaignProgress | None = None
        self._news: list[DrillEvent] = []
        self._free_since = self._looked_at = 0.0

    def begin(self, command: Received, known_ids: set[str]) -> tuple[DrillEvent, ...]:
        """The events that answer a command to begin a campaign; raises DrillRejected."""
        if reason := lever.engaged():
            raise DrillRejected(reason)
        if self._progress is not None:
            raise DrillRejected(f"the campaign {self._progress.campaign_id} is running; wait for its last event")
        if len(command.drill_id) > _LONGEST_ID:
            raise DrillRejected(f"a campaign's drill_id has at most {_LONGEST_ID} characters")
        campaign = CAMPAIGNS.find(command.command.campaign or "")
        seed = _seed(command, campaign)
        steps = members(campaign, command.drill_id, seed, self._settings, command.by)
        for drill in (drill for step in steps for drill in step):
            make_plan(drill, drill.drill_id or "", self._settings)
        if (widest := max(map(len, steps))) > self._settings.drills.at_once:
            raise DrillRejected(f"{widest} drills begin together, and the setting drills.at_once allows fewer")
        params = {"campaign": msgspec.json.encode(campaign).decode()}
        said = answers.told(command, "accepted", f"{sum(map(len, steps))} drills: {campaign.title}")
        accepted = msgspec.structs.replace(said, seed=seed, params=params)
        if command.command.dry_run:
            return accepted, _dry(accepted, steps)
        progress = CampaignProgress(accepted, command.encoding, campaign, steps)
        if used := progress.ids() & known_ids:
            raise DrillRejected(f"its drill {min(used)} was there before; give the campaign another drill_id")
        self._progress = progress
        self._free_since = time.monotonic() - campaign.pause_s
        return (accepted,)

    def resume(self, outcomes: Collection[Outcome]) -> None:
        """Goes on with a campaign of an earlier runner: the last one that has no final event."""
        accepted = last_unfinished(outcomes, is_campaign)
        if accepted is None:
            return
        self._progress = progress = self._resumed(accepted.event, accepted.encoding)
        for outcome in outcomes:
            progress.note(outcome.event)
        self._free_since = time.monotonic()
        _log.warning("going on with a campaign", drill_id=progress.campaign_id)

    def note(self, event: DrillEvent) -> None:
        """Takes note of every event that was written."""
        if self._progress is not None and self._progress.note(event):
            self._news.append(self._progress.news(event))
            self._free_since = time.monotonic()

    def events(self) -> list[tuple[DrillEvent, Encoding]]:
        """The campaign's events that are to be written now."""
        if self._progress is None:
            return []
        encoding = self._progress.encoding
        if not self._progress.stopped and (reason := lever.engaged()):
            self._progress.stopped = f"stopped: {reason}"
        news, self._news = self._news, []
        if self._progress.is_over():
            news.append(self._progress.final())
            self._progress = None
        return [(event, encoding) for event in news]

    def due(self) -> list[Received]:
        """The commands of the drills that begin now."""
        if self._progress is None or not (waiting := self._progress.waiting()):
            return []
        now, campaign = time.monotonic(), self._progress.campaign
        if now - self._free_since < campaign.pause_s or now - self._looked_at < _LOOK_EVERY_S:
            return []
        self._looked_at = now
        if len(self._underway.all()) + len(waiting) > self._settings.drills.at_once:
            return []
        if not self._underway.is_system_ready() and now - self._free_since < campaign.pause_s + campaign.ready_within_s:
            return []
        return [_member(drill, self._progress) for drill in waiting]

    def stop(self, drill_id: str, why: str) -> list[str] | None:
        """Ends the campaign of that id (`*`: any); returns its drills that are to be stopped, None if there is none."""
        progress = self._progress
        if progress is None or progress.stopped or drill_id not in ("*", progress.campaign_id):
            return None
        progress.stopped = why
        return progress.going_on()

    def _resumed(self, accepted: DrillEvent, encoding: Encoding) -> CampaignProgress:
        try:
            campaign = msgspec.json.decode(str((accepted.params or {})["campaign"]), type=Campaign)
            for _, mistake in wrongs(campaign):  # any client may have written the event
                raise DrillRejected(mistake)
            by = accepted.requested_by
            steps = members(campaign, accepted.drill_id, accepted.seed or 0, self._settings, by)
        except (KeyError, RecursionError, msgspec.MsgspecError, StandfastError) as error:
            _log.error("a campaign cannot go on", drill_id=accepted.drill_id, error=str(error))
            progress = CampaignProgress(accepted, encoding, Campaign(title="", why=""), ())
            progress.stopped = f"this runner cannot go on with it ({error})"
            return progress
        return CampaignProgress(accepted, encoding, campaign, steps)


def is_campaign(event: DrillEvent) -> bool:
    """Whether it is an event of a campaign itself, not of one of its drills."""
    return event.drill.startswith(campaign_event(""))


def _member(drill: DrillCommand, progress: CampaignProgress) -> Received:
    drill_id = drill.drill_id or ""
    return Received(f"{drill_id}@{progress.accepted.command}", drill_id, progress.encoding, drill, drill_id)


def _seed(command: Received, campaign: Campaign) -> int:
    if command.command.seed is not None:
        return command.command.seed
    return campaign.seed if campaign.seed is not None else zlib.crc32(command.drill_id.encode())


def _dry(accepted: DrillEvent, steps: tuple[tuple[DrillCommand, ...], ...]) -> DrillEvent:
    drills = [drill for step in steps for drill in step]
    return msgspec.structs.replace(
        accepted,
        phase="completed",
        verdict="unknown",
        reason="dry run: nothing was injected",
        params=None,
        findings=[
            f"unknown: would run {drill.drill} with seed {drill.seed}, target {drill.target}" for drill in drills
        ][:50],
    )
