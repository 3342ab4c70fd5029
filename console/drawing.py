"""Draws the pages and their panels from templates; Jinja2 escapes all texts, since any client may write to a topic."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from console.hub import Panel, View
from console.lanes_now import lanes_now
from drills.reports.drawing.page_parts import environment
from drills.reports.drill_charts import phases
from drills.reports.live_figures import LiveFigures
from drills.reports.report import Story, clock, number
from drills.reports.watching import checks_so_far
from schemas.records import Check, DrillEvent
from schemas.topics import BULK_SUFFIX
from standfast.core.printable import one_line
from standfast.core.status import WorkerStatus

_GOOD = frozenset({"ready", "serving", "running", "passed", "ok"})
_BAD = frozenset({"failed", "backing_off", "gone", "lost", "invalid"})
UNDER_WAY = "under way"
_MOVING = frozenset({"starting", "draining", "stopping", "asked", UNDER_WAY})
_MOST_NAMED = 24  # partitions in a cell; more are counted


PAGES = {
    "now": (
        Panel("system", "System"),
        Panel("services", "Services", "metrics"),
        Panel("takeovers", "Takeovers"),
        Panel("lanes", "Workers and partitions"),
        Panel("hosts", "Hosts and roles"),
    ),
    "drills": (Panel("running", "Running now"), Panel("history", "History")),
    "drill": (Panel("progress", "What happens"), Panel("takeovers", "Takeovers")),
}


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """One service, or the bulk requests of one: `wanted` workers, those that serve, warm standbys, its figures."""

    name: str
    bulk: bool
    wanted: int
    serving: int
    standbys: int
    figures: LiveFigures | None


def panel(name: str, view: View, argument: str) -> str:
    """The HTML of a panel; `argument`: the drill's id where the page is about one."""
    return _TEMPLATES.get_template(f"panels/{name}.html").render(view=view, argument=argument).strip()


def whole(template: str, **values: object) -> str:
    """The HTML of a page."""
    return _TEMPLATES.get_template(template).render({"stream": "", "now": time.time() * 1000, **values})


def service_rows(view: View) -> Iterator[ServiceRow]:
    """Each service and, if someone sends to it, its bulk topic."""
    figures = view.measures.by_topic
    for name, told in view.snapshot.services().items():
        standbys = sum(1 for _, row in view.snapshot.workers(name) if row.role == "standby" and row.state == "ready")
        wanted, serving = sum(service.workers for service in told), sum(service.serving for service in told)
        own = _of_topic(figures, f"{name}.requests")
        yield ServiceRow(name, False, wanted, serving, standbys, own)
        bulk = _of_topic(figures, f"{name}.requests{BULK_SUFFIX}")
        if bulk is not None and (bulk.rate or bulk.waiting):
            yield ServiceRow(name, True, wanted, serving, standbys, bulk)


def _of_topic(figures: Mapping[str, LiveFigures], name: str) -> LiveFigures | None:
    """The figures of the topic of that name, whatever its prefix."""
    return next((found for topic, found in figures.items() if topic == name or topic.endswith(f".{name}")), None)


def tone(state: str | None) -> str:
    """The class of a state: good, bad or warn; beside it stands a mark, so that no colour is the only sign."""
    return "soft" if state is None else "good" if state in _GOOD else "bad" if state in _BAD else "warn"


def mark(state: str | None) -> str:
    """The sign of a state."""
    return {"good": "✔", "bad": "✘", "warn": "?", "soft": "…"}[tone(state)] if state not in _MOVING else "▶"


def drill_state(story: Story) -> str:
    """The verdict, or that there is none yet."""
    return story.last.verdict or UNDER_WAY


def span(seconds: float) -> str:
    """A time span as people say it."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def within_ms(bound: float | None) -> str:
    """The bound of a histogram's bucket."""
    return "-" if bound is None else "> 10 s" if bound == math.inf else f"≤ {bound:g} ms"


def partitions(owned: Mapping[str, list[int]]) -> str:
    """Topics with their partitions: `search.requests 0, 2`."""
    return "; ".join(f"{topic} {_some(sorted(numbers))}" for topic, numbers in sorted(owned.items()) if numbers)


def _some(numbers: list[int]) -> str:
    more = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
    return ", ".join(map(str, numbers[:_MOST_NAMED])) + more


def _row_state(row: WorkerStatus) -> str:
    return "failed" if row.failing or row.waiting else row.state


def _checks(story: Story) -> dict[str, Check | None]:
    return checks_so_far(story.events)


def _findings(event: DrillEvent) -> Iterator[tuple[str, str]]:
    """Each finding as its check and its text."""
    for line in event.findings or ():
        check, colon, text = one_line(line).partition(": ")
        yield (check, text) if colon and check in {"passed", "failed", "unknown"} else ("unknown", one_line(line))


_TEMPLATES = environment(Path(__file__).with_name("templates"))
_TEMPLATES.filters.update(
    checks=_checks,
    clock=clock,
    drill_state=drill_state,
    findings=_findings,
    lanes=lanes_now,
    mark=mark,
    number=number,
    partitions=partitions,
    phases=lambda story: phases(story.events),
    row_mark=lambda row: mark(_row_state(row)),
    row_tone=lambda row: tone(_row_state(row)),
    seconds_old=lambda ms: f"{span(ms / 1000)} old",
    service_rows=service_rows,
    span=span,
    time_of_day=lambda at: clock(at)[11:],
    tone=tone,
    within_ms=within_ms,
)
