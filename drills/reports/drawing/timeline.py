"""The phases of something, such as a drill, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from drills.reports.drawing.axes import WIDTH, text_of
from drills.reports.drawing.frame import Frame
from drills.reports.drawing.page_parts import Table, drawn

_LEFT = 48
_APART = 96.0  # of two labels in the same row, at least


@dataclass(frozen=True, slots=True)
class PhaseStop:
    """One phase.

    Args:
        at: when it began, in seconds; the first stop's is the timeline's zero.
        name: of the phase.
        tone: its colour; `bad` stops are squares and `good` ones rings, so that the colour is not the only sign.
        text: what happened, for the table behind it.
    """

    at: float
    name: str
    tone: Literal["plain", "good", "warn", "bad"] = "plain"
    text: str = ""


def timeline(stops: Sequence[PhaseStop], *, title: str = "Phases") -> Markup:
    """The figure, with a table of all stops; empty without stops."""
    if not stops:
        return Markup("")
    first = stops[0].at
    span = max(stops[-1].at - first, 1e-3)
    places = _apart([_LEFT + (stop.at - first) / span * (WIDTH - 2 * _LEFT) for stop in stops])
    rows = [(stop.name, f"{stop.at - first:.3f}", stop.text) for stop in stops]
    return drawn(
        "timeline.svg",
        frame=Frame(title, 0.0, span),
        width=WIDTH,
        stops=[(stop, text_of(x), f"+{stop.at - first:.2f} s") for stop, x in zip(stops, places, strict=True)],
        table=Table(("phase", "after s", "what"), rows, frozenset({1})),
    )


def _apart(places: list[float]) -> list[float]:
    """The places, moved apart so that the labels of nearly simultaneous stops do not overlap."""
    least = min(_APART, (WIDTH - 2 * _LEFT) / max(1, len(places) - 1))
    spread = list(places)
    for index in range(1, len(spread)):
        spread[index] = max(spread[index], spread[index - 1] + least)
    limit = float(WIDTH - _LEFT)
    for index in range(len(spread) - 1, -1, -1):
        spread[index] = min(spread[index], limit)
        limit = spread[index] - least
    return spread
