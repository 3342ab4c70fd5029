"""Past drills from the outcome stream, for terminals: a table of all, the details of one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from drills.control.events import FINAL, is_done
from schemas.records import DrillEvent, Latency, Scalar
from standfast.core.printable import one_line

COLOURS = {"passed": "green", "failed": "red", "unknown": "yellow", "aborted": "yellow", "rejected": "yellow"}
_MARKS = {"passed": "✔", "failed": "✘", "unknown": "?"}


@dataclass(frozen=True, slots=True)
class Story:
    """All events of one drill, in order."""

    drill_id: str
    events: tuple[DrillEvent, ...]

    @property
    def last(self) -> DrillEvent:
        """Its final event, or the newest event while there is none."""
        return next((event for event in reversed(self.events) if event.phase in FINAL), self.events[-1])

    @property
    def verdict(self) -> str:
        """The verdict, or `running`."""
        return self.last.verdict or "running"


def stories(events: Iterable[DrillEvent]) -> list[Story]:
    """One story a drill, the oldest first; orders that were carried out at once, such as an abort, are none."""
    by_drill: dict[tuple[str, str | None], list[DrillEvent]] = {}
    for event in events:
        if is_done(event):
            continue
        by_drill.setdefault((event.drill_id, event.command), []).append(event)
    stories_by_drill = [Story(drill_id, tuple(drill_events)) for (drill_id, _), drill_events in by_drill.items()]
    return sorted(stories_by_drill, key=lambda story: story.events[0].at)


def overview(stories: Iterable[Story]) -> Table:
    """A row for each drill."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("when", "drill", "drill_id", "verdict"):
        table.add_column(name, overflow="fold")
    for name in ("RTO ms", "lost", "doubled", "score"):
        table.add_column(name, justify="right")
    for story in stories:
        last = story.last
        table.add_row(
            clock(story.events[0].at),
            escape(one_line(last.drill)),
            escape(one_line(story.drill_id)),
            Text(story.verdict, COLOURS.get(story.verdict, "")),
            number(last.rto_ms),
            number(last.lost),
            number(last.duplicated),
            number(last.score),
        )
    return table


def verdict_table(event: DrillEvent) -> Group:
    """The verdict of a final event, with its checks, latencies and findings."""
    event = _shown(event)
    verdict = event.verdict or "running"
    parts: list[RenderableType] = [
        Text.assemble(
            (f" {verdict.upper()} ", f"bold reverse {COLOURS.get(verdict, '')}"), f"  {event.drill}  {event.drill_id}"
        )
    ]
    if event.reason:
        parts.append(Text(event.reason))
    if event.injected or event.held or event.undone:
        parts.append(_checks_table(event))
    if event.latency_before or event.latency_during or event.latency_after:
        parts.append(_latencies(event))
    parts.extend(_finding(text) for text in event.findings or ())
    return Group(*parts)


def phase_line(event: DrillEvent) -> Text:
    """One event as a line of progress."""
    event = _shown(event)
    details = [event.reason or ""]
    if event.phase != "completed":
        if event.target:
            details.append(", ".join(f"{key} {value}" for key, value in event.target.items()))
        if event.rto_ms is not None:
            details.append(f"after {event.rto_ms:.0f} ms")
        if event.phase == "rolled_back":
            details += [text.partition(": ")[2] for text in event.findings or ()]
    else:
        details.append(f"verdict {event.verdict}")
    details_text = "; ".join(filter(None, details))
    return Text.assemble((clock(event.at)[11:], "dim"), f"  {event.phase:<13}", (details_text, "dim"))


def clock(at_ms: int) -> str:
    """Local date and time."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def number(value: float | None) -> str:
    """A figure as text, or a dash for None."""
    return "-" if value is None else f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:,.1f}"


def _shown(event: DrillEvent) -> DrillEvent:
    """The event with each of its texts on one line, safe for a terminal: any client may have written it."""
    target: dict[str, Scalar] = {one_line(key): one_line(str(value)) for key, value in (event.target or {}).items()}
    return msgspec.structs.replace(
        event,
        drill=one_line(event.drill),
        drill_id=one_line(event.drill_id),
        reason=one_line(event.reason) if event.reason else None,
        target=target or None,
        findings=[one_line(text) for text in event.findings or ()] or None,
    )


def _checks_table(event: DrillEvent) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("injected", "held", "undone"):
        table.add_column(name)
    for name in ("RTO ms", "lost", "doubled", "out of order", "score"):
        table.add_column(name, justify="right")
    answers = [Text(check or "-", COLOURS.get(check or "", "")) for check in (event.injected, event.held, event.undone)]
    figures = (event.rto_ms, event.lost, event.duplicated, event.out_of_order, event.score)
    table.add_row(*answers, *map(number, figures))
    return table


def _latencies(event: DrillEvent) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("latency ms")
    for name in ("answers", "p50", "p99", "max"):
        table.add_column(name, justify="right")
    windows = (("before", event.latency_before), ("during", event.latency_during), ("after", event.latency_after))
    for name, latency in windows:
        known = latency or Latency(count=0)
        table.add_row(name, str(known.count), number(known.p50_ms), number(known.p99_ms), number(known.max_ms))
    return table


def _finding(text: str) -> Text:
    check, _, detail = text.partition(": ")
    if check not in _MARKS:
        return Text(text)
    return Text.assemble((f"{_MARKS[check]} ", COLOURS[check]), detail)
