"""How a system stands by its drills: a row for each kind, its score, how old that knowledge is, what to do next.

The score lies between two numbers, because what is not known is neither good nor bad. Of the runs that were not refused
or called off, `low` is the share that passed, `high` the share that did not fail. Both are 0 for a kind of drill, and
for all together, as soon as a run lost or doubled an answer: no number of good runs makes up for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from drills.campaigns.conductor import is_campaign
from drills.gamedays.desk import is_game_day
from drills.reports.campaign_table import VERDICTS, CampaignRow, campaign_rows
from drills.reports.report import Story
from schemas.records import DrillEvent

_DAY_MS = 86_400_000
_STALE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Score:
    """Of 100; between the two lies what is not known. None without a run that counts."""

    low: float
    high: float

    @property
    def text(self) -> str:
        """As one number where all is known."""
        return f"{self.low:.0f}" if self.low == self.high else f"{self.low:.0f} to {self.high:.0f}"


@dataclass(frozen=True, slots=True)
class Standing:
    """One kind of drill: `row` counts its runs, `newest` is its latest final event, `age_ms` how old that is."""

    row: CampaignRow
    score: Score | None
    newest: DrillEvent
    age_ms: int
    next_step: str
    runbook: str

    @property
    def counts(self) -> list[tuple[str, int]]:
        """Each verdict, and how many runs had it."""
        return [(verdict, self.row.verdicts.get(verdict, 0)) for verdict in VERDICTS]

    @property
    def age(self) -> str:
        """In words."""
        if self.age_ms < _DAY_MS:
            return f"{self.age_ms / 3_600_000:.1f} h"
        return f"{self.age_ms / _DAY_MS:.0f} days"


def standings(stories: Sequence[Story], runbooks: Mapping[str, str]) -> list[Standing]:
    """A standing for each kind of drill that has ended, by name; ages count back from the last event of all."""
    drills = [story for story in stories if not is_campaign(story.last) and not is_game_day(story.last)]
    now = max((story.events[-1].at for story in stories), default=0)
    return [_standing(row, drills, now, runbooks) for row in campaign_rows(drills)]


def score_of(rows: Iterable[CampaignRow]) -> Score | None:
    """The score of these kinds of drills together."""
    known = list(rows)
    passed, failed, unknown = (
        sum(row.verdicts.get(verdict, 0) for row in known) for verdict in ("passed", "failed", "unknown")
    )
    runs = passed + failed + unknown
    if not runs:
        return None
    if any(row.lost or row.duplicated for row in known):
        return Score(0.0, 0.0)
    return Score(100 * passed / runs, 100 * (passed + unknown) / runs)


def _standing(row: CampaignRow, drills: Sequence[Story], now: int, runbooks: Mapping[str, str]) -> Standing:
    ended = [story.last for story in drills if story.last.drill == row.drill and story.last.verdict is not None]
    newest = max(ended, key=lambda event: event.at)
    worst = next((event for event in reversed(ended) if event.lost or event.duplicated), newest)
    return Standing(
        row, score_of([row]), newest, now - newest.at, _next_step(row, worst, now), runbooks.get(row.drill, "")
    )


def _next_step(row: CampaignRow, event: DrillEvent, now: int) -> str:
    """What to do after that run; empty where nothing is to be done."""
    if row.lost or row.duplicated:
        return f"answers were lost or doubled: look at the evidence of {event.drill_id}, and keep drills/ and logs/"
    if event.undone == "failed":
        return f"undo it by hand: standfast drill show {row.drill} says how"
    if event.verdict == "failed":
        return _first(event, "failed")
    if event.verdict == "unknown":
        return _first(event, "unknown")
    if event.verdict != "passed":
        return f"run it again: {event.reason or event.verdict}"
    return f"run it again: it is more than {_STALE_DAYS} days old" if now - event.at > _STALE_DAYS * _DAY_MS else ""


def _first(event: DrillEvent, check: str) -> str:
    lines = [line.partition(": ") for line in event.findings or ()]
    return next((text for found, _, text in lines if found == check), event.reason or f"it is {check}")
