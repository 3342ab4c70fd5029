"""The charts of a report as coordinates, which `templates/charts.svg` draws as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drills.evidence.history import Fault, History, Request
from drills.evidence.recovery import Recoveries
from schemas.records import DrillEvent, Latency

_WIDTH, _HEIGHT = 860, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 16, 26, 34
_MOST_POINTS = 4000  # of a latency chart; more are thinned out
_WINDOW_HEIGHT = 76


@dataclass(frozen=True, slots=True)
class GridLine:
    """A horizontal grid line at a latency, and the position of its label."""

    line: str
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Second:
    """A label of the time axis."""

    x: str
    label: str


@dataclass(frozen=True, slots=True)
class FaultMark:
    """The area from a fault to the recovery from it."""

    x: str
    width: str
    height: int
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class LatencyChart:
    """Every request of a drill. `answered` and `lost` are SVG paths of dots, empty without dots."""

    across: Sequence[GridLine]
    seconds: Sequence[Second]
    faults: Sequence[FaultMark]
    answered: str
    lost: str
    unanswered: int
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    right: int = _WIDTH - _RIGHT
    top: int = _TOP


@dataclass(frozen=True, slots=True)
class Bar:
    """One latency of a window: the width of its bar, and the position of its figure."""

    label: str
    ms: str
    width: str
    text: str


@dataclass(frozen=True, slots=True)
class Window:
    """The bars of the time before, during or after the fault."""

    name: str
    answers: int
    y: int
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class LatencyBars:
    """The bars of all windows that have answers."""

    windows: Sequence[Window]
    width: int = _WIDTH

    @property
    def height(self) -> int:
        """The height of the drawing."""
        return len(self.windows) * _WINDOW_HEIGHT + 8


@dataclass(frozen=True, slots=True)
class PhaseMark:
    """A phase on the timeline."""

    x: str
    phase: str
    name: str
    after: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """The phases of a drill in order."""

    stops: Sequence[PhaseMark]
    width: int = _WIDTH
    height: int = 120


@dataclass(frozen=True, slots=True)
class _Frame:
    """The axes: seconds from the first fault horizontally, milliseconds vertically on a logarithmic scale."""

    start: float
    end: float
    low: float
    high: float

    def x(self, seconds: float) -> float:
        return _LEFT + (seconds - self.start) / (self.end - self.start) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, ms: float) -> float:
        share = math.log10(max(ms, self.low) / self.low) / math.log10(self.high / self.low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def latency_chart(history: History) -> LatencyChart:
    """Every request of a drill by send time and latency, with each fault and its recovery marked."""
    first_fault_at = history.faults[0].at if history.faults else history.requests[0].invoked
    answered = [request for request in history.requests if request.latency_ms is not None]
    lost = [request for request in history.requests if not request.answers]
    frame = _frame(history, first_fault_at)
    recoveries = Recoveries(history)
    return LatencyChart(
        across=tuple(_grid(frame)),
        seconds=tuple(_seconds(frame)),
        faults=tuple(
            _fault_mark(frame, fault, first_fault_at, recoveries.recovered_at(fault)) for fault in history.faults
        ),
        answered=_dots(
            (frame.x(request.invoked - first_fault_at), frame.y(request.latency_ms or 0))
            for request in _thinned(answered)
        ),
        lost=_dots((frame.x(request.invoked - first_fault_at), _TOP + 4) for request in lost),
        unanswered=len(lost),
    )


def latency_bars(event: DrillEvent) -> LatencyBars:
    """p50, p99 and maximum before, during and after, for drills whose history is not on this machine."""
    windows = [("before", event.latency_before), ("during", event.latency_during), ("after", event.latency_after)]
    known = [(name, latency) for name, latency in windows if latency and latency.max_ms is not None]
    most = max((latency.max_ms or 1.0 for _, latency in known), default=1.0)
    return LatencyBars([_window(index, name, latency, most) for index, (name, latency) in enumerate(known)])


def timeline(events: tuple[DrillEvent, ...]) -> Timeline:
    """The phases of a drill on a time axis."""
    first, last = events[0].at, events[-1].at
    span = max(last - first, 1)
    positions = [_LEFT / 2 + (event.at - first) / span * (_WIDTH - _LEFT * 2) for event in events]
    return Timeline(
        [
            PhaseMark(_to(x), event.phase, event.phase.replace("_", " "), f"+{(event.at - first) / 1000:.2f} s")
            for event, x in zip(events, _apart(positions), strict=True)
        ]
    )


def _frame(history: History, first_fault_at: float) -> _Frame:
    times = [request.latency_ms for request in history.requests if request.latency_ms is not None]
    return _Frame(
        start=min(request.invoked for request in history.requests) - first_fault_at,
        end=max(max(request.invoked for request in history.requests) - first_fault_at, 0.1),
        low=10 ** math.floor(math.log10(max(min(times, default=1.0), 0.1))),
        high=10 ** math.ceil(math.log10(max(max(times, default=1.0), 10.0)) + 0.01),
    )


def _apart(positions: list[float]) -> list[float]:
    """The positions, moved apart so that labels of nearly simultaneous phases do not overlap."""
    least = min(96.0, (_WIDTH - 2 * _LEFT) / max(1, len(positions)))
    spread = list(positions)
    for index in range(1, len(spread)):
        spread[index] = max(spread[index], spread[index - 1] + least)
    over = spread[-1] - (_WIDTH - _LEFT * 1.2)
    if over > 0:
        limit = _WIDTH - _LEFT * 1.2
        for index in range(len(spread) - 1, -1, -1):
            spread[index] = min(spread[index], limit)
            limit = spread[index] - least
    return spread


def _grid(frame: _Frame) -> Iterator[GridLine]:
    decade = frame.low
    while decade <= frame.high * 1.001:
        y = frame.y(decade)
        yield GridLine(_to(y), _to(y + 4), f"{decade:g} ms")
        decade *= 10


def _seconds(frame: _Frame) -> Iterator[Second]:
    step = _step(frame.end - frame.start)
    second = math.ceil(frame.start / step) * step
    while second <= frame.end:
        yield Second(_to(frame.x(second)), f"{second:+g} s" if second else "fault")
        second += step


def _step(span: float) -> float:
    return next((step for step in (1, 2, 5, 10, 20, 60, 120) if span / step <= 10), 300)


def _fault_mark(frame: _Frame, fault: Fault, first_fault_at: float, recovered_at: float | None) -> FaultMark:
    left = frame.x(fault.at - first_fault_at)
    right = frame.x(frame.end if recovered_at is None else min(recovered_at - first_fault_at, frame.end))
    label = fault.name or "fault"
    if recovered_at is not None:
        label += f", all answering again after {(recovered_at - fault.at) * 1000:.0f} ms"
    return FaultMark(_to(left), _to(max(right - left, 2)), _HEIGHT - _TOP - _BOTTOM, _to(left + 6), label)


def _dots(points: Iterator[tuple[float, float]]) -> str:
    return "".join(f"M{_to(x)} {_to(y)}h0" for x, y in points)


def _thinned(requests: list[Request]) -> list[Request]:
    """About 4000 of the requests at most, but always the slowest hundredth."""
    if len(requests) <= _MOST_POINTS:
        return requests
    limit = sorted(request.latency_ms or 0 for request in requests)[int(len(requests) * 0.99)]
    every = math.ceil(len(requests) / _MOST_POINTS)
    return [
        request for index, request in enumerate(requests) if index % every == 0 or (request.latency_ms or 0) > limit
    ]


def _window(index: int, name: str, latency: Latency, most: float) -> Window:
    bars = []
    for label, ms in (("p50", latency.p50_ms), ("p99", latency.p99_ms), ("max", latency.max_ms)):
        width = max(2.0, (ms or 0) / most * (_WIDTH - 300))
        bars.append(Bar(label, f"{ms or 0:,.1f}", _to(width), _to(146 + width)))
    return Window(name, latency.count, index * _WINDOW_HEIGHT + 8, bars)


def _to(coordinate: float) -> str:
    return f"{coordinate:.1f}"
