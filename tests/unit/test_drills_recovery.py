"""What a starting runner makes of the outcome stream it finds, and how the stream is told to people."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drills.events import FINAL
from drills.history import Fault, History, Request, Sighting
from drills.logbook import keep, kept
from drills.outcomes import Outcome
from drills.recovery import orphans
from drills.report import stories
from drills.report_html import page
from schemas.codec import Encoding
from schemas.records import DrillEvent, Phase

PHASES: list[Phase] = ["accepted", "steady_state", "injected", "observing", "recovered", "rolled_back"]


def event(drill_id: str, phase: Phase, at: int = 0) -> DrillEvent:
    return DrillEvent(drill_id=drill_id, drill="worker-kill", phase=phase, at=at)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([*PHASES, "completed", "aborted", "rejected"]))),
)
def test_exactly_the_drills_without_an_end_are_ended(seen: list[tuple[str, Phase]]) -> None:
    outcomes = [Outcome(event(drill_id, phase), Encoding.JSON) for drill_id, phase in seen]
    ended = {drill_id for drill_id, phase in seen if phase in FINAL}
    found = orphans(outcomes)
    assert sorted(one.event.drill_id for one in found) == sorted({drill_id for drill_id, _ in seen} - ended)
    assert not orphans([*outcomes, *(Outcome(one.event, one.encoding) for one in found)])


def test_an_orphan_ends_in_the_encoding_of_its_command() -> None:
    (found,) = orphans([Outcome(event("a", "accepted"), Encoding.AVRO)])
    assert (found.encoding, found.event.verdict) == (Encoding.AVRO, "aborted")


def test_a_history_is_kept_and_read_again(state: object) -> None:
    answer = Sighting(2.0, 0, 3, "ok", "search-0")
    history = History((Request("d-1", 0, 1.0, 1.0, "acked", 5, (answer,)),), (), Fault(1.5, frozenset({0})), 9.0)
    keep("d", history)
    assert kept("d") == history
    assert kept("e") is None


def test_the_page_loads_nothing_and_escapes_what_others_wrote(state: object) -> None:
    hostile = "<script>alert(1)</script>"
    told = stories(
        [
            DrillEvent(drill_id="d1", drill=hostile, phase="accepted", at=1, params={"queries": hostile}),
            DrillEvent(
                drill_id="d1",
                drill=hostile,
                phase="aborted",
                at=2,
                reason=hostile,
                findings=[hostile],
                verdict="aborted",
            ),
            DrillEvent(drill_id=hostile, drill="?", phase="rejected", at=3, verdict="rejected"),
        ]
    )
    text = page(told)
    assert "<script" not in text
    assert "http" not in text
    assert "src=" not in text
