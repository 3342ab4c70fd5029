"""Bars in groups, such as quantiles before, during and after a fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from drills.reports.drawing.axes import WIDTH, text_of
from drills.reports.drawing.frame import Frame
from drills.reports.drawing.page_parts import Table, drawn

_LEFT, _GROUP_GAP, _BAR = 138, 12, 22


@dataclass(frozen=True, slots=True)
class BarGroup:
    """A group of bars.

    Args:
        name: of the group; `note` is written below it, such as "200 answers".
        bars: the name and value of each.
        unsure: names of bars that rest on too few values to be believed; these are hatched and say so.
    """

    name: str
    note: str
    bars: Sequence[tuple[str, float]]
    unsure: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _PlacedBar:
    name: str
    text: str
    y: int
    width: str
    text_x: str
    is_unsure: bool


def bars(groups: Sequence[BarGroup], *, title: str, unit: str, note: str = "", with_table: bool = True) -> Markup:
    """The figure; all bars share one scale from 0 on. Empty without groups."""
    if not groups:
        return Markup("")
    most = max((value for group in groups for _, value in group.bars), default=1.0) or 1.0
    placed, y = [], 8
    for group in groups:
        placed.append((group, y, _placed(group, y, most, unit)))
        y += max(len(group.bars) * _BAR, 44) + _GROUP_GAP
    rows = [(group.name, name, f"{value:,.3f}", group.note, "too few" if name in group.unsure else "")
            for group in groups for name, value in group.bars]  # fmt: skip
    table = Table(("when", "figure", unit, "of", "hatched"), rows, frozenset({2})) if with_table else None
    return drawn(
        "bars.svg",
        frame=Frame(title, 0.0, 0.0, note=note),
        width=WIDTH,
        height=y,
        left=_LEFT,
        groups=placed,
        table=table,
    )


def _placed(group: BarGroup, y: int, most: float, unit: str) -> list[_PlacedBar]:
    return [
        _PlacedBar(
            name=name,
            text=f"{value:,.1f} {unit}" + (", too few" if name in group.unsure else ""),
            y=y + number * _BAR,
            width=text_of(width := max(2.0, value / most * (WIDTH - _LEFT - 170))),
            text_x=text_of(_LEFT + width + 8),
            is_unsure=name in group.unsure,
        )
        for number, (name, value) in enumerate(group.bars)
    ]
