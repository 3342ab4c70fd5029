"""How a system stands: what is lost cannot be made up for, what is unknown stays so, and each row says what is next."""

from __future__ import annotations

import msgspec
import pytest

from drills.reports.page import page
from drills.reports.report import Story
from drills.reports.standing import Score, score_of, standings
from schemas.records import DrillEvent

HOUR_MS = 3_600_000
PASSED = DrillEvent(
    drill_id="c.1", drill="worker-kill", phase="completed", at=HOUR_MS, verdict="passed", rto_ms=30.0, lost=0,
    duplicated=0, injected="passed", held="passed", undone="passed", findings=["passed: it struck"],
)  # fmt: skip


def ended(number: int, **changes: object) -> Story:
    event = msgspec.structs.replace(PASSED, drill_id=f"c.{number}", **changes)
    return Story(event.drill_id, (event,))


def test_what_is_not_known_makes_the_score_a_range() -> None:
    runs = [ended(1), ended(2), ended(3, verdict="unknown"), ended(4, verdict="failed"), ended(5, verdict="rejected")]
    (standing,) = standings(runs, {})
    assert standing.score == Score(50.0, 75.0)
    assert standing.score.text == "50 to 75"


def test_one_lost_answer_makes_every_score_zero() -> None:
    rows = standings([*map(ended, range(20)), ended(21, drill="worker-freeze", lost=1)], {})
    assert [each.score.text for each in rows if each.score] == ["0", "100"]
    assert score_of(each.row for each in rows) == Score(0.0, 0.0)
    assert "lost or doubled" in rows[0].next_step
    assert "c.21" in rows[0].next_step


def test_runs_that_did_not_count_give_no_score() -> None:
    (standing,) = standings([ended(1, verdict="aborted", phase="aborted", reason="called off")], {})
    assert (standing.score, standing.next_step) == (None, "run it again: called off")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"verdict": "failed", "findings": ["passed: a", "failed: p99 too high"]}, "p99 too high"),
        ({"verdict": "unknown", "findings": ["unknown: raise rate"]}, "raise rate"),
        ({"verdict": "failed", "undone": "failed"}, "undo it by hand: standfast drill show worker-kill says how"),
    ],
)
def test_each_row_says_what_to_do_next(changes: dict[str, object], said: str) -> None:
    (standing,) = standings([ended(1, **changes)], {"worker-kill": "wiki/kill"})
    assert (standing.next_step, standing.runbook) == (said, "wiki/kill")


def test_ages_count_back_from_the_last_event_of_all() -> None:
    old, new = standings([ended(1), ended(2, drill="z", at=HOUR_MS * 24 * 50)], {})
    assert (old.age, old.next_step) == ("50 days", "run it again: it is more than 30 days old")
    assert new.age == "0.0 h"


@pytest.mark.usefixtures("state")
def test_campaigns_and_game_days_are_no_drills_of_their_own_and_tell_their_people() -> None:
    reacted = {"action": "ack", "by": "ann", "team": "search", "text": "<b>", "after_ms": 12_300}
    first = msgspec.structs.replace(PASSED, drill_id="g1", drill="gameday", phase="observing", params=reacted)
    last = msgspec.structs.replace(PASSED, drill_id="g1", drill="gameday", findings=["passed: ann acknowledged"])
    stories = [ended(1), ended(2), Story("g1", (first, last))]
    assert [each.row.drill for each in standings(stories, {})] == ["worker-kill"]
    text = page(stories)
    assert "<td>ann</td><td>search</td><td>acknowledged</td><td>&lt;b&gt;</td>" in text
    assert "12.3" in text
