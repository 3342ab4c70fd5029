"""From values to places in a drawing: linear and logarithmic axes, and their round labels. Places are SVG units."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 860  # of every drawing; a page scales it
_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600, 7200)
_MOST_LABELS = 10


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps `low` to `first` and `high` to `last`; what lies outside is put on the border.

    With `logarithmic`, `low` has to be above 0.
    """

    low: float
    high: float
    first: float
    last: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where the value is drawn."""
        if self.high <= self.low:
            return self.first
        within = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(within / self.low) / math.log(self.high / self.low)
        else:
            share = (within - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)

    def at(self, value: float) -> str:
        """The same as text, with one decimal: more would only make files larger."""
        return text_of(self.place(value))


@dataclass(frozen=True, slots=True)
class Label:
    """A label of an axis and its place."""

    at: str
    text: str


def text_of(place: float) -> str:
    """A place as text."""
    return f"{place:.1f}".removesuffix(".0")


def time_axis(start: float, end: float, left: float, right: float) -> Axis:
    """Seconds from `start` to `end`, at least a tenth of a second."""
    return Axis(start, max(end, start + 0.1), left, right)


def time_labels(axis: Axis, zero: str) -> Iterator[Label]:
    """At most ten labels on round seconds; `zero` is what stands at 0."""
    span = axis.high - axis.low
    step = next((step for step in _STEPS if span / step <= _MOST_LABELS), span / _MOST_LABELS)
    for number in range(math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9) + 1):
        second = number * step
        yield Label(axis.at(second), zero if number == 0 else f"{second:+.6g} s")


def value_axis(least: float, most: float, bottom: float, top: float, *, logarithmic: bool) -> Axis:
    """An axis with round ends around the values: powers of ten if it is logarithmic, from 0 on if not."""
    if logarithmic:
        low = 10.0 ** math.floor(math.log10(max(least, 0.1)))
        high = 10.0 ** math.ceil(math.log10(max(most, low * 10)) + 0.01)
        return Axis(low, high, bottom, top, logarithmic=True)
    return Axis(min(0.0, least), _round_above(most), bottom, top)


def value_labels(axis: Axis, unit: str) -> Iterator[Label]:
    """The powers of ten of a logarithmic axis, or five steps of a linear one."""
    if axis.logarithmic:
        decades = round(math.log10(axis.high / axis.low))
        values = [axis.low * 10.0**decade for decade in range(decades + 1)]
    else:
        values = [axis.low + (axis.high - axis.low) * part / 4 for part in range(5)]
    for value in values:
        yield Label(axis.at(value), _with_unit(value, unit))


def _with_unit(value: float, unit: str) -> str:
    """Ten seconds and more of milliseconds in seconds: `100,000 ms` is wider than the margin."""
    if unit == "ms" and value >= 10_000:
        return f"{value / 1000:,.4g} s"
    number = f"{value:,.0f}" if value >= 100 else f"{value:.4g}"
    return f"{number} {unit}".rstrip()


def _round_above(most: float) -> float:
    """The smallest of 1, 2, 4, 8 or 10 times a power of ten that is not below."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(factor * power for factor in (1, 2, 4, 8, 10, 20) if factor * power >= most * (1 - 1e-9))
