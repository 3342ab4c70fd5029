"""A campaign's drills in a table: each is counted once, and what did not happen stands out."""

from __future__ import annotations

import msgspec
from rich.console import Console

from drills.reports.campaign_table import CampaignRow, campaign_rows, campaign_table, members_of
from drills.reports.report import Story, stories
from schemas.records import DrillEvent, Verdict

PASSED = DrillEvent(
    drill_id="c.1", drill="worker-kill", phase="completed", at=1, verdict="passed", rto_ms=30.0, lost=0, duplicated=0,
    injected="passed", held="passed", undone="passed",
)  # fmt: skip


def ended(number: int, **changes: object) -> Story:
    event = msgspec.structs.replace(PASSED, drill_id=f"c.{number}", **changes)
    return Story(event.drill_id, (event,))


def test_only_the_campaigns_own_drills_are_its_members() -> None:
    ids = ["c", "c.1", "c.12", "c.x", "c.1.1", "cc.1", "d.c.1", "c."]
    events = [msgspec.structs.replace(PASSED, drill_id=drill_id, command=drill_id) for drill_id in ids]
    assert [story.drill_id for story in members_of("c", stories(events))] == ["c.1", "c.12"]


def test_each_drill_has_the_median_and_the_worst_of_its_runs() -> None:
    runs = [ended(1), ended(2, rto_ms=90.0), ended(3, rto_ms=None, lost=2, verdict="failed", undone="failed")]
    (row,) = campaign_rows(runs)
    assert row == CampaignRow(
        drill="worker-kill", verdicts={"passed": 2, "failed": 1}, rto_ms=60.0, worst_rto_ms=90.0,
        lost=2, duplicated=0, not_injected=0, not_undone=1,
    )  # fmt: skip


def test_a_rejected_drill_is_not_told_as_one_whose_fault_is_left() -> None:
    rejected: Verdict = "rejected"
    rows = campaign_rows([ended(1, verdict=rejected, phase="rejected", injected=None, undone=None, rto_ms=None)])
    assert [(row.verdicts, row.not_injected, row.not_undone, row.rto_ms) for row in rows] == [
        ({"rejected": 1}, 0, 0, None)
    ]


def test_a_drill_that_still_runs_is_in_no_row() -> None:
    assert campaign_rows([ended(1, verdict=None, phase="accepted")]) == []


def test_the_table_has_every_figure() -> None:
    console = Console(width=200, record=True)
    console.print(campaign_table(campaign_rows([ended(1), ended(2, drill="worker-stop", lost=3)])))
    kill, stop = (line.split() for line in console.export_text().splitlines()[1:])
    assert kill == ["worker-kill", "1", "0", "0", "0", "0", "30", "30", "0", "0", "0", "0"]
    assert stop[0] == "worker-stop"
    assert stop[8] == "3"
