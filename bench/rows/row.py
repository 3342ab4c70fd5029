"""One row of the table of figures to reach: what is measured, how, and what its figures must come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.beside.results import Spread
from bench.rows.shared_system import SharedSystem

Figure = float | Spread


@dataclass(frozen=True, slots=True)
class Threshold:
    """What one figure of a row must come to; of several rounds the median must.

    `peer`: it is asked for only where that peer is measured beside us.
    """

    figure: str
    limit: float
    unit: str = ""
    at_least: bool = False
    peer: str = ""

    def reached_by(self, figure: Figure) -> bool:
        """Whether it does."""
        value = figure.median if isinstance(figure, Spread) else figure
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        if not self.limit:
            return f"0 {self.figure}"
        return f"{self.figure} {'≥' if self.at_least else '≤'} {self.limit:g}{self.unit and f' {self.unit}'}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured: in words, the figures that aims name, all of it, and what could not be measured and why."""

    shown: str
    figures: Mapping[str, Figure]
    detail: object = None
    trouble: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowContext:
    """Where and how a row is measured. `peers`: names for `--against`; `tell` hears what is done now."""

    shared: SharedSystem
    quick: bool
    peers: str
    tell: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `measure` blocks, for minutes, and raises a StandfastError if nothing could be measured."""

    name: str
    what: str
    measure: Callable[[RowContext], Measurement] = field(repr=False)
    aims: tuple[Threshold, ...]


def shown(figure: Spread, digits: int) -> str:
    """Least, median and most of several rounds, or the only one."""
    least, median, most = (f"{one:,.{digits}f}" for one in (figure.min, figure.median, figure.max))
    return median if least == most else f"{least} - {median} - {most}"
