"""Rows of coloured stretches: who owned what, from when to when, and where nobody did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from drills.reports.drawing.axes import WIDTH, Axis, text_of, time_axis, time_labels
from drills.reports.drawing.frame import Frame
from drills.reports.drawing.page_parts import Table, drawn

COLOURS = 8  # of owners, in drawing.css; the ninth owner has the first one's again, and its own name
_LEFT, _RIGHT, _TOP, _BOTTOM = 120, 16, 30, 26
_LETTER = 6.6  # width of a letter, roughly
_MOST_ROWS = 200  # of the table behind it
_KINDS = {"serves": "serves", "standby": "stands by", "pause": "nobody"}


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a lane, from second `start` to second `end`.

    Args:
        owner: whose it is, by name; empty for a `pause`.
        kind: `serves`: filled; `standby`: an outline; `pause`: hatched, nobody owns it.
        text: what is written into it; the owner's name by default. A pause has its length: "612 ms".
    """

    start: float
    end: float
    owner: str = ""
    kind: Literal["serves", "standby", "pause"] = "serves"
    text: str | None = None

    @property
    def shown(self) -> str:
        """What is written into it."""
        return self.owner if self.text is None else self.text


@dataclass(frozen=True, slots=True)
class Lane:
    """One row, such as a partition or a worker; its stretches in order of time, or those of a pause on top."""

    label: str
    stretches: Sequence[Stretch]


@dataclass(frozen=True, slots=True)
class _Box:
    stretch: Stretch
    colour: int
    x: str
    width: str
    text_x: str
    is_inside: bool
    is_written: bool  # its text; where there is no place for it, it is in the tooltip and the table alone


def lanes(
    rows: Sequence[Lane],
    frame: Frame,
    *,
    owners: Sequence[str] = (),
    row_height: int = 24,
    with_table: bool = True,
) -> Markup:
    """The figure.

    Args:
        rows: from top to bottom.
        frame: the title and the time.
        owners: all there may be, in the order of their colours, so that an owner keeps its colour from one drawing to
            the next; by default in the order in which they appear.
        row_height: in SVG units, 10 at least; names are written into stretches from 16 on.
        with_table: whether the table of all stretches stands behind it.
    """
    time = time_axis(frame.start, frame.end, _LEFT, WIDTH - _RIGHT)
    appear = dict.fromkeys([*owners, *(each.owner for row in rows for each in row.stretches if each.owner)])
    colours = {owner: number % COLOURS for number, owner in enumerate(appear)}
    bottom = _TOP + len(rows) * row_height
    return drawn(
        "lanes.svg",
        frame=frame,
        table=_table(rows) if with_table else None,
        width=WIDTH,
        height=bottom + _BOTTOM,
        left=_LEFT,
        right=WIDTH - _RIGHT,
        top=_TOP,
        bottom=bottom,
        row_height=row_height,
        seconds=list(time_labels(time, frame.zero)),
        shades=[(shade, time.at(shade.start), _width(time, shade.start, shade.end)) for shade in frame.shades],
        rows=[(row.label, _boxes(row.stretches, time, colours)) for row in rows],
        legend=list(colours.items()),
        kinds=_KINDS,
        writes=row_height >= 16,
    )


def _boxes(stretches: Sequence[Stretch], time: Axis, colours: dict[str, int]) -> list[_Box]:
    places = [(time.place(each.start), time.place(each.end) - time.place(each.start)) for each in stretches]
    return [
        _Box(
            stretch=each,
            colour=colours.get(each.owner, 0),
            x=text_of(left),
            width=text_of(max(width, 2.0)),
            text_x=text_of(left + width / 2 if (is_inside := width > _length(each)) else left + width + 4),
            is_inside=is_inside,
            is_written=bool(each.shown) and (is_inside or (each.kind == "pause" and following > 2.5 * _length(each))),
        )
        for each, (left, width), (_, following) in zip(stretches, places, [*places[1:], (0.0, 0.0)], strict=True)
    ]


def _length(stretch: Stretch) -> float:
    return len(stretch.shown) * _LETTER + 8


def _width(time: Axis, start: float, end: float) -> str:
    return text_of(max(time.place(end) - time.place(start), 2.0))


def _table(rows: Sequence[Lane]) -> Table:
    lines = [
        (row.label, each.owner or "nobody", _KINDS[each.kind], f"{each.start:.3f}", f"{each.end:.3f}",
         f"{(each.end - each.start) * 1000:,.0f}")
        for row in rows
        for each in row.stretches
    ]  # fmt: skip
    return Table(
        ("lane", "owner", "what", "from s", "to s", "ms"),
        lines[:_MOST_ROWS],
        frozenset({3, 4, 5}),
        f"the first {_MOST_ROWS} of {len(lines):,}" if len(lines) > _MOST_ROWS else "",
    )
