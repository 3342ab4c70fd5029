"""One row of the table of figures to reach: what is measured, how, and the thresholds of its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.beside.results import Spread
from bench.rows.shared_system import SharedSystem

Figure = float | Spread


@dataclass(frozen=True, slots=True)
class Threshold:
    """The limit of one figure of a row; of several rounds the median must be within it.

    `at_least`: it is a lower limit, otherwise an upper one. `peer`: it applies only if that peer is measured too.
    """

    figure: str
    limit: float
    unit: str = ""
    at_least: bool = False
    peer: str = ""

    def reached_by(self, figure: Figure) -> bool:
        """Whether the measured figure reaches this threshold."""
        value = figure.median if isinstance(figure, Spread) else figure
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        if not self.limit:
            return f"0 {self.figure}"
        return f"{self.figure} {'≥' if self.at_least else '≤'} {self.limit:g}{self.unit and f' {self.unit}'}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measurement: in words, its figures by name, all details, and what could not be measured and why."""

    shown: str
    figures: Mapping[str, Figure]
    detail: object = None
    trouble: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowContext:
    """Where and how a row is measured. `peers`: names for `--against`; `tell` is called with lines of progress."""

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
    """Minimum, median and maximum of several rounds as text, or the only value."""
    least, median, most = (f"{value:,.{digits}f}" for value in (figure.min, figure.median, figure.max))
    return median if least == most else f"{least} - {median} - {most}"
