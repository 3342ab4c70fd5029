"""Points or lines over time, with shaded stretches and limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from drills.reports.drawing.axes import WIDTH, Axis, text_of, time_axis, time_labels, value_axis, value_labels
from drills.reports.drawing.frame import Frame, Shade
from drills.reports.drawing.page_parts import Table, drawn

Tone = Literal["plain", "good", "warn", "bad", "second", "third"]
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 16, 34, 30


@dataclass(frozen=True, slots=True)
class Series:
    """Values over time.

    Args:
        name: for the legend.
        points: seconds and values, in order of time; None as a value breaks a line.
        kind: `dots`; `crosses`, for what went wrong; `line`; `steps`, which hold a value until the next one.
        tone: its colour. Lines of different tones are also dashed differently.
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    kind: Literal["dots", "crosses", "line", "steps"] = "line"
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class LimitLine:
    """A horizontal line: a value that is promised."""

    value: float
    label: str


def plot(
    series: Sequence[Series],
    frame: Frame,
    *,
    unit: str = "",
    limits: Sequence[LimitLine] = (),
    logarithmic: bool = False,
    height: int = 260,
    table: Table | None = None,
) -> Markup:
    """The figure.

    Args:
        series: drawn one over the other.
        frame: the title and the time.
        unit: of the values.
        limits: the values that are promised.
        logarithmic: for values over several powers of ten; those below 0.1 are drawn at 0.1.
        height: in SVG units; the width is 860.
        table: what stands behind it.
    """
    time = time_axis(frame.start, frame.end, _LEFT, WIDTH - _RIGHT)
    value = _values(series, limits, height, logarithmic=logarithmic)
    return drawn(
        "plot.svg",
        frame=frame,
        table=table,
        width=WIDTH,
        height=height,
        left=_LEFT,
        right=WIDTH - _RIGHT,
        top=_TOP,
        bottom=height - _BOTTOM,
        across=list(value_labels(value, unit)),
        seconds=list(time_labels(time, frame.zero)),
        shades=[_shaded(shade, time) for shade in frame.shades],
        limits=[(value.at(limit.value), limit.label) for limit in limits],
        series=[(each, _path(each, time, value)) for each in series if each.points],
    )


def _values(series: Sequence[Series], limits: Sequence[LimitLine], height: int, *, logarithmic: bool) -> Axis:
    values = [value for each in series for _, value in each.points if value is not None]
    values += [limit.value for limit in limits]
    least, most = min(values, default=0.0), max(values, default=1.0)
    return value_axis(least, most, height - _BOTTOM, _TOP, logarithmic=logarithmic)


def _shaded(shade: Shade, time: Axis) -> tuple[Shade, str, str]:
    left = time.place(shade.start)
    return shade, text_of(left), text_of(max(time.place(shade.end) - left, 2.0))


def _path(series: Series, time: Axis, value: Axis) -> str:
    places = ((time.place(at), None if v is None else value.place(v)) for at, v in series.points)
    if series.kind == "dots":
        return "".join(f"M{text_of(x)} {text_of(y)}h0" for x, y in places if y is not None)
    if series.kind == "crosses":
        return "".join(f"M{text_of(x - 3)} {text_of(y - 3)}l6 6m0-6l-6 6" for x, y in places if y is not None)
    return _line(places, steps=series.kind == "steps")


def _line(places: Iterable[tuple[float, float | None]], *, steps: bool) -> str:
    parts: list[str] = []
    is_broken = True
    for x, y in places:
        if y is not None:
            if is_broken:
                parts.append(f"M{text_of(x)} {text_of(y)}")
            else:
                parts.append(f"H{text_of(x)}V{text_of(y)}" if steps else f"L{text_of(x)} {text_of(y)}")
        is_broken = y is None
    return "".join(parts)
