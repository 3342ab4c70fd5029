"""What `standfast drill watch` shows of drills that run, and the window that metrics show of their faults."""

from __future__ import annotations

import io
import json
import math
import time
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from drills.reports.live_figures import LiveFigures, reading
from drills.reports.watching import WatchedDrills, checks_so_far, event_line
from drills.running import fault_window
from schemas.records import DrillEvent, Phase
from standfast.commands import drill_reading
from standfast.core import telemetry

ROOT = Path(__file__).parents[3]
METRICS = """\
# TYPE standfast_requests_total counter
standfast_requests_total{{topic="search.requests",status="ok"}} {ok}
standfast_requests_total{{topic="recommend.requests",status="ok"}} 5
# TYPE standfast_request_seconds histogram
standfast_request_seconds_bucket{{topic="search.requests",le="0.01"}} {quick}
standfast_request_seconds_bucket{{topic="search.requests",le="0.5"}} {ok}
standfast_request_seconds_bucket{{topic="search.requests",le="+Inf"}} {ok}
# TYPE standfast_lag_records gauge
standfast_lag_records{{topic="search.requests",partition="0"}} 3
standfast_lag_records{{topic="search.requests",partition="1"}} 4
"""


def event(phase: Phase, drill_id: str = "d1", **more: object) -> DrillEvent:
    return DrillEvent(drill_id=drill_id, drill="worker-kill", phase=phase, at=round(time.time() * 1000), **more)  # type: ignore[arg-type]


def shown(watched: WatchedDrills, figures: LiveFigures | None = None) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(watched.screen(figures))
    return console.export_text()


def test_verdicts_firm_up_with_each_event_and_the_worst_of_several_faults_stays() -> None:
    events = [event("accepted"), event("injected", injected="passed")]
    assert checks_so_far(events) == {"injected": "passed", "held": None, "undone": None}
    events += [event("injected", injected="unknown"), event("rolled_back", undone="passed")]
    assert checks_so_far(events) == {"injected": "unknown", "held": None, "undone": "passed"}
    assert checks_so_far([]) == {"injected": None, "held": None, "undone": None}


def test_drills_that_ended_before_are_not_shown_and_running_ones_are_from_their_first_event_on() -> None:
    past = [
        event("accepted", "old"),
        event("completed", "old", verdict="passed"),
        event("accepted"),
        event("steady_state"),
    ]
    watched = WatchedDrills(past)
    assert [(seen.drill_id, seen.phase) for seen in watched.events] == [("d1", "accepted"), ("d1", "steady_state")]
    assert watched.takes(event("injected", injected="passed"))
    assert watched.takes(event("accepted", "d2"))
    screen = shown(watched)
    assert "d1" in screen
    assert "d2" in screen
    assert "steady_state" in screen
    assert "old" not in screen
    watched.takes(event("completed", verdict="failed", injected="passed", held="failed", undone="passed"))
    assert "FAILED" in shown(watched)
    assert watched.last is None, "whoever watches all goes on"


def test_one_drill_is_watched_to_its_end() -> None:
    watched = WatchedDrills([event("accepted", "d2"), event("accepted")], "d1")
    assert not watched.takes(event("injected", "d2"))
    assert watched.last is None
    assert watched.takes(event("completed", verdict="passed"))
    assert watched.last is not None
    assert watched.last.verdict == "passed"
    ended = WatchedDrills([event("accepted"), event("completed", verdict="failed")], "d1")
    assert ended.last is not None, "it had ended before it was watched"


def test_what_strangers_wrote_is_shown_as_text() -> None:
    watched = WatchedDrills([event("accepted", "[bold]\x1b[2J", reason="[red]no\nline")])
    assert "[bold]" in shown(watched)
    assert "\x1b" not in shown(watched)
    assert "\n" not in event_line(watched.events[0]).plain


def test_figures_come_from_the_time_between_two_readings() -> None:
    first, second = reading(METRICS.format(ok=100, quick=90)), reading(METRICS.format(ok=300, quick=250))
    figures = second.since(first)
    assert figures.rate > 0
    assert (figures.p50_ms, figures.p99_ms, figures.waiting) == (10.0, 500.0, 7.0)
    nothing = second.since(second)
    assert (nothing.rate, nothing.p50_ms, nothing.p99_ms) == (0.0, None, None)
    assert "p99 ≤ 500 ms" in shown(WatchedDrills([]), figures)
    assert "no system runs" in shown(WatchedDrills([]))


def test_an_answer_beyond_the_last_bucket_is_no_figure_made_up() -> None:
    text = 'standfast_request_seconds_bucket{le="0.5"} 0\nstandfast_request_seconds_bucket{le="+Inf"} 3\n'
    nothing = reading("")
    assert reading(text).since(nothing).p50_ms == math.inf


@pytest.mark.parametrize("last", [event("rolled_back", undone="failed"), event("aborted"), event("completed")])
def test_the_gauge_is_one_while_the_fault_lasts(last: DrillEvent) -> None:
    gauge = telemetry.DRILL_FAULT.labels("worker-kill")
    gauge.set(0)
    fault_window.note(event("steady_state"))
    assert gauge._value.get() == 0
    fault_window.note(event("injected", injected="failed"))
    assert gauge._value.get() == 0
    fault_window.note(event("injected", injected="unknown"))
    fault_window.note(event("recovered"))
    assert gauge._value.get() == 1
    fault_window.note(last)
    assert gauge._value.get() == 0


def test_a_made_up_name_makes_no_series_of_its_own() -> None:
    """Whoever may write to drills.control could otherwise fill the memory of Prometheus."""
    for name in ("made-up-1", "made-up-2", "\x1b[2J"):
        fault_window.note(msgspec.structs.replace(event("injected", injected="passed"), drill=name))
    labels = {sample.labels["drill"] for sample in telemetry.DRILL_FAULT.collect()[0].samples}
    assert not {name for name in labels if "made-up" in name or "\x1b" in name}
    assert telemetry.DRILL_FAULT.labels("other")._value.get() == 1
    fault_window.note(msgspec.structs.replace(event("completed"), drill="made-up-1"))


def test_the_dashboard_marks_the_windows_of_drills() -> None:
    board = json.loads((ROOT / "deploy/grafana/dashboards/standfast.json").read_text())
    (drills,) = board["annotations"]["list"]
    assert telemetry.DRILL_FAULT._name in drills["expr"]
    assert drills["enable"]
    assert "{{drill}}" in drills["titleFormat"]


class Stream:
    """An outcome stream: what there was, then each of the events that follow."""

    def __init__(self, following: list[DrillEvent]) -> None:
        self._following = following

    def next(self, _within_s: float) -> DrillEvent | None:
        return self._following.pop(0) if self._following else None


def test_on_a_terminal_it_is_live_until_the_drill_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    monkeypatch.setattr(drill_reading, "stdout", lambda: console)
    texts = [METRICS.format(ok=100, quick=90), METRICS.format(ok=300, quick=250)]
    monkeypatch.setattr(drill_reading, "_SCRAPE_EVERY_S", 0.0)
    monkeypatch.setattr(
        drill_reading, "_read_metrics", lambda past: [*past[-1:], reading(texts.pop(0) if texts[1:] else texts[0])]
    )
    watched = WatchedDrills([event("accepted")], "d1")
    ended = event("completed", verdict="passed", injected="passed", held="passed", undone="passed")
    following = [
        event("injected", injected="passed"),
        event("recovered", rto_ms=52.0),
        event("injected", "other"),
        ended,
    ]
    drill_reading._show_live(watched, Stream(following))  # type: ignore[arg-type]
    shown_at_last = screen.getvalue()
    assert watched.last == ended
    assert shown_at_last.index("accepted") < shown_at_last.index("after 52 ms")
    assert "answers/s" in shown_at_last
    assert "p99 ≤ 500 ms" in shown_at_last
    assert "other" not in shown_at_last
