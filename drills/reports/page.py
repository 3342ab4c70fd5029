"""The report as one self-contained HTML page: no script, nothing loaded from elsewhere, light and dark.

Jinja2 escapes all texts of events, since any client may write to the outcome stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from drills.evidence.history import History
from drills.evidence.logbook import kept
from drills.reports.charts import latency_bars, latency_chart, timeline
from drills.reports.report import Story, clock, number
from schemas.records import DrillEvent, Scalar

_DETAILED = 20  # drills shown in detail, newest first; older ones only have a row in the table
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a drill. `check` is set for a figure that is a check itself."""

    name: str
    text: str
    check: str = ""


def page(stories: Sequence[Story]) -> str:
    """The page for these drills, the newest first."""
    newest = list(reversed(stories))
    return _TEMPLATES.get_template("page.html").render(summary=_summary(stories), newest=newest, detailed=_DETAILED)


def _summary(stories: Sequence[Story]) -> str:
    counts = {verdict: sum(1 for story in stories if story.verdict == verdict) for verdict in
              ("passed", "failed", "unknown", "aborted", "rejected", "running")}  # fmt: skip
    counted = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return f"{len(stories)} from {clock(stories[0].events[0].at)} to {clock(stories[-1].last.at)}: {counted}"


def _target(story: Story) -> Sequence[tuple[str, Scalar]]:
    """The target of the fault."""
    target = story.last.target or next((event.target for event in story.events if event.target), None)
    return list((target or {}).items())


def _figures(last: DrillEvent) -> Iterator[Figure]:
    for name, check in (("injected", last.injected), ("held", last.held), ("undone", last.undone)):
        if check:
            yield Figure(name, check, check)
    if last.lost is not None:
        yield Figure("RTO", f"{number(last.rto_ms)} ms" if last.rto_ms is not None else "none")
        yield Figure("lost", number(last.lost))
        yield Figure("doubled", number(last.duplicated))
        yield Figure("out of order", number(last.out_of_order))
        yield Figure("score", number(last.score))


def _history(story: Story) -> History | None:
    """Every request of the drill, if it ran on this machine."""
    history = kept(story.drill_id)
    return history if history and history.requests else None


def _findings(last: DrillEvent) -> Iterator[tuple[str, str]]:
    """Each finding as its check and its text."""
    for line in last.findings or ():
        check, _, text = line.partition(": ")
        yield check, text or line


def _settings(story: Story) -> Sequence[tuple[str, Scalar]]:
    """The drill's parameters and its seed."""
    params = next((event.params for event in story.events if event.params), None)
    if not params:
        return ()
    seed = next((event.seed for event in story.events if event.seed is not None), None)
    shown = {**params, "seed": seed} if seed is not None else params
    return [(key, value) for key, value in shown.items() if value != ""]


_TEMPLATES.filters.update(
    clock=clock,
    number=number,
    target=_target,
    figures=_figures,
    findings=_findings,
    settings=_settings,
    history=_history,
    timeline=timeline,
    latency_chart=latency_chart,
    latency_bars=latency_bars,
)
