"""What a starting runner does about drills without a last event, and how reports show the events."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.control.events import FINAL
from drills.control.outcomes import Outcome, refuse_unusual
from drills.evidence.history import Fault, History, Request, Sighting
from drills.evidence.logbook import KeptDrill, keep, kept
from drills.reports.page import page
from drills.reports.report import overview, phase_line, stories, verdict_table
from drills.running.leftovers import orphans
from schemas.codec import Encoding
from schemas.records import DrillEvent, Latency, Phase
from standfast.commands.terminal import SafeConsole
from standfast.core.errors import Unreadable

PHASES: list[Phase] = ["accepted", "steady_state", "injected", "observing", "recovered", "rolled_back"]


def event(drill_id: str, phase: Phase, at: int = 0) -> DrillEvent:
    return DrillEvent(drill_id=drill_id, drill="worker-kill", phase=phase, at=at)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([*PHASES, "completed", "aborted", "rejected"]))),
)
def test_exactly_the_drills_without_an_end_are_ended(seen: list[tuple[str, Phase]]) -> None:
    outcomes = [Outcome(event(drill_id, phase), Encoding.JSON) for drill_id, phase in seen]
    ended = {drill_id for drill_id, phase in seen if phase in FINAL}
    orphaned = orphans(outcomes)
    assert sorted(orphan.event.drill_id for orphan in orphaned) == sorted({drill_id for drill_id, _ in seen} - ended)
    assert not orphans([*outcomes, *(Outcome(orphan.event, orphan.encoding) for orphan in orphaned)])


def test_an_orphan_ends_in_the_encoding_of_its_command() -> None:
    (orphan,) = orphans([Outcome(event("a", "accepted"), Encoding.AVRO)])
    assert (orphan.encoding, orphan.event.verdict) == (Encoding.AVRO, "aborted")


def test_a_history_is_kept_and_read_again(state: object) -> None:
    answer = Sighting(2.0, 0, 3, "ok", "search-0")
    history = KeptDrill(
        (Request("d-1", 0, 1.0, 1.0, "acked", 5, (answer,)),),
        (),
        (Fault(1.5, frozenset({0}), "kill", (frozenset({0}),), 7, 2.5),),
        9.0,
    )
    keep("d", history)
    assert kept("d") == history
    assert kept("e") is None


def test_a_history_of_before_it_could_hold_several_faults_keeps_its_fault(state: object) -> None:
    older = {"requests": [], "unexpected": [], "fault": {"at": 1.5, "partitions": [0]}, "ended": 9.0}
    keep("d", History()).write_bytes(msgspec.json.encode(older))
    assert kept("d") == KeptDrill(faults=(Fault(1.5, frozenset({0})),), ended=9.0)


@pytest.mark.parametrize("drill_id", ["../../outside", "/etc/passwd", "..", "a/b", "", "a\x00b", "x" * 301, "ä"])
def test_no_id_is_a_path(state: Path, drill_id: str) -> None:
    history = msgspec.json.encode(History())
    state.mkdir()
    (state.parent / "outside.json").write_bytes(history)
    assert kept(drill_id) is None


HUGE = 10**30
FORGED: dict[str, dict[str, object]] = {
    "no date": {"at": HUGE},
    "a date before all": {"at": -HUGE},
    "a path": {"drill_id": "../../outside"},
    "an id without end": {"drill_id": "x" * 100_000},
    "an escape": {"drill_id": "\x1b[2J"},
    "no number": {"rto_ms": float("nan")},
    "no end": {"score": float("inf")},
    "less than nothing": {"lost": -1},
    "a latency that is none": {"latency_before": Latency(count=1, max_ms=float("-inf"))},
    "a count out of proportion": {"latency_after": Latency(count=HUGE)},
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_event_is_no_event(what: str) -> None:
    forged = msgspec.structs.replace(event("d", "completed", 1), **FORGED[what])
    with pytest.raises(Unreadable):
        refuse_unusual(forged)


def plausible() -> st.SearchStrategy[DrillEvent]:
    figure = st.none() | st.floats() | st.sampled_from([0.0, 1e15, 5e-324])
    latencies = st.none() | st.builds(Latency, count=st.integers(0, 3), p50_ms=figure, p99_ms=figure, max_ms=figure)
    text = st.none() | st.text(max_size=20)
    return st.builds(
        DrillEvent, drill_id=st.sampled_from(["a", "..", "b-1"]), drill=st.text(max_size=9),
        phase=st.sampled_from([*PHASES, *FINAL]), at=st.integers(-1, 253_402_300_799_000), reason=text,
        verdict=st.none() | st.sampled_from(["passed", "rejected"]), rto_ms=figure, score=figure,
        lost=st.none() | st.integers(0, 10**15), latency_before=latencies, latency_after=latencies,
        target=st.none() | st.dictionaries(st.text(max_size=3), st.none() | st.integers() | text),
        params=st.none() | st.dictionaries(st.text(max_size=3), st.none() | st.floats() | text),
        findings=st.none() | st.lists(st.text(max_size=20), max_size=3), seed=st.none() | st.integers(),
    )  # fmt: skip


@given(st.lists(plausible(), min_size=1, max_size=6))
def test_every_event_that_is_taken_for_one_can_be_told(seen: list[DrillEvent]) -> None:
    drills = stories(seen_event for seen_event in seen if is_taken(seen_event))
    if drills:
        page(drills)
        console = SafeConsole(file=io.StringIO())
        console.print(overview(drills), *(verdict_table(story.last) for story in drills), *map(phase_line, seen[:0]))
        for story in drills:
            console.print(*map(phase_line, story.events))


def is_taken(drill_event: DrillEvent) -> bool:
    try:
        refuse_unusual(drill_event)
    except Unreadable:
        return False
    return True


def test_the_page_loads_nothing_and_escapes_what_others_wrote(state: object) -> None:
    hostile = "<script>alert(1)</script>"
    drills = stories(
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
    text = page(drills)
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert "src=" not in text


def test_charts_escape_what_others_wrote_too(state: object) -> None:
    """The name of a fault comes from the file of the history, which others may have written."""
    answer = Sighting(10.01, 0, 0, "ok", "search-0", 0, 5)
    requests = (Request("d1-0", 0, 10.0, 10.0, answers=(answer,)), Request("d1-1", 0, 11.0, 11.0))
    keep("d1", History(requests=requests, faults=(Fault(10.5, frozenset({0}), name="<script>&"),), ended=12.0))
    began = DrillEvent(drill_id="d1", drill="worker-kill", phase="injected", at=1)
    ended = event("d1", "completed", 2)
    text = page(stories([began, msgspec.structs.replace(ended, latency_before=Latency(count=1, max_ms=10.0))]))
    assert text.count("<svg") == text.count("</svg>") > 2
    assert "1 never answered" in text
    assert "&lt;script&gt;&amp;: all answering again" in text or "&lt;script&gt;&amp;: not recovered" in text
    assert "<script" not in text
