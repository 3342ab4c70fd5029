"""Charts of a report as inline SVG: colours come from the page's own style, so that they follow light and dark."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from drills.evidence.history import Fault, History, Request
from drills.evidence.recovery import Recoveries
from schemas.records import DrillEvent, Latency

_WIDTH, _HEIGHT = 860, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 16, 26, 34
_MOST_POINTS = 4000


@dataclass(frozen=True, slots=True)
class _Frame:
    """Seconds from the first fault across, milliseconds up on a logarithmic scale."""

    start: float
    end: float
    low: float
    high: float

    def x(self, seconds: float) -> float:
        return _LEFT + (seconds - self.start) / (self.end - self.start) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, ms: float) -> float:
        share = math.log10(max(ms, self.low) / self.low) / math.log10(self.high / self.low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def latency_chart(history: History) -> str:
    """Every request of a drill: when it was sent, how long its answer took; each fault and its recovery marked."""
    struck = history.faults[0].at if history.faults else history.requests[0].invoked
    times = [one.latency_ms for one in history.requests if one.latency_ms is not None]
    frame = _Frame(
        start=min(one.invoked for one in history.requests) - struck,
        end=max(max(one.invoked for one in history.requests) - struck, 0.1),
        low=10 ** math.floor(math.log10(max(min(times, default=1.0), 0.1))),
        high=10 ** math.ceil(math.log10(max(max(times, default=1.0), 10.0)) + 0.01),
    )
    recoveries = Recoveries(history)
    marks = "".join(_fault_marks(frame, one, struck, recoveries.recovered_at(one)) for one in history.faults)
    answered = [one for one in history.requests if one.latency_ms is not None]
    lost = [one for one in history.requests if not one.answers]
    return _svg(
        "Latency of every request over time",
        _axes(frame)
        + marks
        + _dots(frame, _thinned(answered), struck, "dot")
        + _dots(frame, lost, struck, "dot lost", at_top=True)
        + (
            f'<text class="note bad" x="{_WIDTH - _RIGHT}" y="18" text-anchor="end">{len(lost)} unanswered</text>'
            if lost
            else ""
        ),
    )


def latency_bars(event: DrillEvent) -> str:
    """p50, p99 and the slowest before, during and after: for drills whose history is not on this machine."""
    windows = [("before", event.latency_before), ("during", event.latency_during), ("after", event.latency_after)]
    known = [(name, seen) for name, seen in windows if seen and seen.max_ms is not None]
    if not known:
        return ""
    most = max(seen.max_ms or 1.0 for _, seen in known)
    rows = "".join(_bar_row(index, name, seen, most) for index, (name, seen) in enumerate(known))
    return _svg("Latency before, during and after", rows, height=len(known) * 76 + 8)


def timeline(events: tuple[DrillEvent, ...]) -> str:
    """The phases of a drill on a line, as far apart as they were."""
    first, last = events[0].at, events[-1].at
    span = max(last - first, 1)
    places = [_LEFT / 2 + (event.at - first) / span * (_WIDTH - _LEFT * 2) for event in events]
    apart = _apart(events, places)
    marks = "".join(_phase_mark(index, event, place, first) for index, (event, place) in enumerate(apart))
    line = f'<line class="rail" x1="{apart[0][1]:.1f}" x2="{apart[-1][1]:.1f}" y1="60" y2="60"/>'
    return _svg("Phases over time", line + marks, height=120)


def _apart(events: tuple[DrillEvent, ...], places: list[float]) -> list[tuple[DrillEvent, float]]:
    """Phases that came at nearly the same moment keep a readable distance."""
    least = min(96.0, (_WIDTH - 2 * _LEFT) / max(1, len(events)))
    spread = list(places)
    for index in range(1, len(spread)):
        spread[index] = max(spread[index], spread[index - 1] + least)
    over = spread[-1] - (_WIDTH - _LEFT * 1.2)
    if over > 0:
        limit = _WIDTH - _LEFT * 1.2
        for index in range(len(spread) - 1, -1, -1):
            spread[index] = min(spread[index], limit)
            limit = spread[index] - least
    return list(zip(events, spread, strict=True))


def _phase_mark(index: int, event: DrillEvent, place: float, first: int) -> str:
    seconds = (event.at - first) / 1000
    name = event.phase.replace("_", " ")
    upper, lower = (38, 22) if index % 2 else (86, 102)
    at = f'x="{place:.1f}" text-anchor="middle"'
    return (
        f'<circle class="stop {event.phase}" cx="{place:.1f}" cy="60" r="6"/>'
        f'<text class="note strong" {at} y="{upper}">{escape(name)}</text>'
        f'<text class="note" {at} y="{lower}">+{seconds:.2f} s</text>'
    )


def _axes(frame: _Frame) -> str:
    out = []
    decade = frame.low
    while decade <= frame.high * 1.001:
        y = frame.y(decade)
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text class="note" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{decade:g} ms</text>')
        decade *= 10
    step = _step(frame.end - frame.start)
    second = math.ceil(frame.start / step) * step
    while second <= frame.end:
        label = f"{second:+g} s" if second else "fault"
        out.append(
            f'<text class="note" x="{frame.x(second):.1f}" y="{_HEIGHT - 12}" text-anchor="middle">{label}</text>'
        )
        second += step
    return "".join(out)


def _step(span: float) -> float:
    return next((step for step in (1, 2, 5, 10, 20, 60, 120) if span / step <= 10), 300)


def _fault_marks(frame: _Frame, fault: Fault, struck: float, recovered_at: float | None) -> str:
    left = frame.x(fault.at - struck)
    right = frame.x(frame.end if recovered_at is None else min(recovered_at - struck, frame.end))
    height = _HEIGHT - _TOP - _BOTTOM
    said = fault.name or "fault"
    if recovered_at is not None:
        said += f", all answering again after {(recovered_at - fault.at) * 1000:.0f} ms"
    return (
        f'<rect class="fault" x="{left:.1f}" y="{_TOP}" width="{max(right - left, 2):.1f}" height="{height}"/>'
        f'<text class="note strong" x="{left + 6:.1f}" y="18">{escape(said)}</text>'
    )


def _dots(frame: _Frame, requests: list[Request], struck: float, style: str, *, at_top: bool = False) -> str:
    points = "".join(
        f"M{frame.x(one.invoked - struck):.1f} {_TOP + 4 if at_top else frame.y(one.latency_ms or 0):.1f}h0"
        for one in requests
    )
    return f'<path class="{style}" d="{points}"/>' if points else ""


def _thinned(requests: list[Request]) -> list[Request]:
    """At most some thousand points; the slowest hundredth always stays."""
    if len(requests) <= _MOST_POINTS:
        return requests
    limit = sorted(one.latency_ms or 0 for one in requests)[int(len(requests) * 0.99)]
    every = math.ceil(len(requests) / _MOST_POINTS)
    return [one for index, one in enumerate(requests) if index % every == 0 or (one.latency_ms or 0) > limit]


def _bar_row(index: int, name: str, seen: Latency, most: float) -> str:
    top = index * 76 + 8
    out = [f'<text class="note strong" x="0" y="{top + 34}">{name}</text>']
    out.append(f'<text class="note" x="0" y="{top + 50}">{seen.count} answers</text>')
    for row, (label, ms) in enumerate((("p50", seen.p50_ms), ("p99", seen.p99_ms), ("max", seen.max_ms))):
        width = max(2.0, (ms or 0) / most * (_WIDTH - 300))
        y = top + row * 22
        out.append(f'<text class="note" x="128" y="{y + 13}" text-anchor="end">{label}</text>')
        out.append(f'<rect class="bar b{row}" x="138" y="{y}" width="{width:.1f}" height="16" rx="2"/>')
        out.append(f'<text class="note" x="{146 + width:.1f}" y="{y + 13}">{ms or 0:,.1f} ms</text>')
    return "".join(out)


def _svg(title: str, body: str, height: int = _HEIGHT) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">{body}</svg>'
