"""A campaign's drills, by their kind: how often each ran, how it ended, and how long the system took to recover."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import median

from msgspec import Struct
from rich.table import Table
from rich.text import Text

from drills.reports.report import COLOURS, Story, number
from schemas.records import DrillEvent, Verdict

VERDICTS: tuple[Verdict, ...] = ("passed", "failed", "unknown", "rejected", "aborted")


class CampaignRow(Struct, frozen=True, kw_only=True):
    """All runs of one drill in a campaign. RTO in milliseconds, over the runs that have one; None if none has.

    `not_injected` and `not_undone`: runs of which that check did not pass, those that were rejected left out.
    """

    drill: str
    verdicts: dict[Verdict, int]
    rto_ms: float | None
    worst_rto_ms: float | None
    lost: int
    duplicated: int
    not_injected: int
    not_undone: int


def members_of(campaign_id: str, stories: Iterable[Story]) -> list[Story]:
    """The campaign's drills, which are named by its id, a point and a number."""
    prefix = f"{campaign_id}."
    return [
        story
        for story in stories
        if story.drill_id.startswith(prefix) and story.drill_id.removeprefix(prefix).isdecimal()
    ]


def campaign_rows(members: Iterable[Story]) -> list[CampaignRow]:
    """A row for each drill that has ended at least once, by name."""
    by_drill: dict[str, list[DrillEvent]] = {}
    for story in members:
        if story.last.verdict is not None:
            by_drill.setdefault(story.last.drill, []).append(story.last)
    return [_row(drill, events) for drill, events in sorted(by_drill.items())]


def campaign_table(rows: Iterable[CampaignRow]) -> Table:
    """The rows for terminals."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("drill", overflow="fold")
    for name in (*VERDICTS, "RTO ms", "worst", "lost", "doubled", "not injected", "not undone"):
        table.add_column(name, justify="right")
    for row in rows:
        counts = (row.verdicts.get(verdict, 0) for verdict in VERDICTS)
        shown = (Text(str(n), COLOURS[verdict] if n else "dim") for verdict, n in zip(VERDICTS, counts, strict=True))
        figures = (row.rto_ms, row.worst_rto_ms, row.lost, row.duplicated, row.not_injected, row.not_undone)
        table.add_row(row.drill, *shown, *map(number, figures))
    return table


def _row(drill: str, events: list[DrillEvent]) -> CampaignRow:
    rtos = [event.rto_ms for event in events if event.rto_ms is not None]
    verdicts = Counter(event.verdict for event in events if event.verdict is not None)
    struck = [event for event in events if event.verdict != "rejected"]
    return CampaignRow(
        drill=drill,
        verdicts=dict(verdicts),
        rto_ms=median(rtos) if rtos else None,
        worst_rto_ms=max(rtos, default=None),
        lost=sum(event.lost or 0 for event in events),
        duplicated=sum(event.duplicated or 0 for event in events),
        not_injected=sum(event.injected != "passed" for event in struck),
        not_undone=sum(event.undone != "passed" for event in struck),
    )
