"""Drills as they run, for `standfast drill watch`: what each event adds, and how it looks on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from drills.control.events import FINAL
from drills.evidence.verdict import worst
from drills.reports.live_figures import LiveFigures
from drills.reports.report import COLOURS, Story, clock, number, phase_line, stories, verdict_table
from schemas.records import Check, DrillEvent
from standfast.core.printable import one_line

_SHOWN_AFTER_ITS_END_S = 60.0
_CHECKS = ("injected", "held", "undone")


class WatchedDrills:
    """The events of drills that run, and of those that ended while they were watched.

    Args:
        drill_id: only this drill; None: all.
    """

    def __init__(self, past: Iterable[DrillEvent], drill_id: str | None = None) -> None:
        self._drill_id = drill_id
        known = [story for story in stories(past) if drill_id in {None, story.drill_id}]
        self.events = [event for story in known if drill_id or not ended(story) for event in story.events]

    def takes(self, event: DrillEvent) -> bool:
        """Adds an event; False if it is of another drill."""
        if self._drill_id not in {None, event.drill_id}:
            return False
        self.events.append(event)
        return True

    @property
    def last(self) -> DrillEvent | None:
        """The final event of the one drill that is watched; None before it, and when all are watched."""
        return next((event for event in self.events if self._drill_id and event.phase in FINAL), None)

    def screen(self, figures: LiveFigures | None) -> RenderableType:
        """What a terminal shows: the figures of the system, then each drill with its phases and its verdicts so far."""
        now_ms = time.time() * 1000
        told = [
            story
            for story in stories(self.events)
            if not ended(story) or now_ms - story.last.at < _SHOWN_AFTER_ITS_END_S * 1000
        ]
        parts: list[RenderableType] = [_figures(figures)]
        for story in told:
            parts += ["", verdict_table(story.last) if ended(story) else _running(story, now_ms)]
        return Group(*parts) if told else Group(*parts, Text("no drill runs", "dim"))


def ended(story: Story) -> bool:
    """Whether the drill has its final event."""
    return story.last.phase in FINAL


def checks_so_far(events: Iterable[DrillEvent]) -> dict[str, Check | None]:
    """The worst of each verdict so far, `injected`, `held` and `undone`; None: nothing is known yet."""
    known = list(events)
    checks = {name: [check for event in known if (check := getattr(event, name))] for name in _CHECKS}
    return {name: worst(found) if found else None for name, found in checks.items()}


def event_line(event: DrillEvent) -> Text:
    """One event as a line, with its drill."""
    return Text.assemble(
        (clock(event.at)[:10], "dim"), " ", phase_line(event), (f"  {one_line(event.drill_id)}", "dim")
    )


def _figures(figures: LiveFigures | None) -> Text:
    if figures is None:
        return Text("no system runs on this machine, so there are no figures of it", "dim")
    p50, p99 = ("-" if ms is None else f"≤ {ms:g} ms" for ms in (figures.p50_ms, figures.p99_ms))
    return Text(f"{figures.rate:.0f} answers/s   p50 {p50}   p99 {p99}   {figures.waiting:.0f} waiting")


def _running(story: Story, now_ms: float) -> Group:
    rto = next((event.rto_ms for event in story.events if event.rto_ms is not None), None)
    since_s = (now_ms - story.events[0].at) / 1000
    head = f"[bold]{escape(one_line(story.last.drill))}[/]  {escape(one_line(story.drill_id))}  for {since_s:.0f} s"
    checks = Table(box=None, pad_edge=False, header_style="bold")
    found = checks_so_far(story.events)
    for name in found:
        checks.add_column(name)
    checks.add_column("RTO ms", justify="right")
    checks.add_row(*(Text(check or "…", COLOURS.get(check or "", "dim")) for check in found.values()), number(rto))
    return Group(Text.from_markup(head), checks, *map(phase_line, story.events))
