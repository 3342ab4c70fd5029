"""Drawings: values stand where they belong, the highest are never left out, colours are not the only sign."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drills.reports.drawing import (
    BarGroup,
    Frame,
    Lane,
    LimitLine,
    PhaseStop,
    Series,
    Shade,
    Stretch,
    bars,
    lanes,
    plot,
    thinned,
    timeline,
)
from drills.reports.drawing.axes import time_axis, time_labels, value_axis, value_labels

FRAME = Frame("<What>", -2.0, 8.0, "fault", [Shade(0.0, 1.0, "a & b")])
NASTY = "</svg><script>"


def drawing(figure: str) -> Xml.Element:
    """The figure's SVG, which has to be well-formed."""
    found = re.search(r"<svg.*?</svg>", figure, re.DOTALL)
    assert found is not None
    return Xml.fromstring(found.group())  # noqa: S314 - our own


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1e6)), min_size=1, max_size=300), st.integers(4, 60))
def test_thinning_keeps_the_highest_point_and_no_more_than_wanted(points: list[tuple[float, float]], most: int) -> None:
    at, values = zip(*points, strict=True)
    kept = thinned(at, values, most)
    assert len(kept) <= max(most, min(most, len(points)))
    assert max(values) in {values[index] for index in kept}
    assert [at[index] for index in kept] == sorted(at[index] for index in kept)


@pytest.mark.parametrize(("start", "end"), [(-3.0, 12.0), (0.0, 0.4), (-0.001, 90_000.0)])
def test_an_axis_of_time_has_few_labels_in_order(start: float, end: float) -> None:
    labels = list(time_labels(time_axis(start, end, 0.0, 100.0), "fault"))
    assert 1 <= len(labels) <= 12
    places = [float(label.at) for label in labels]
    assert places == sorted(places)
    assert [label.text for label in labels].count("fault") == (start <= 0 <= end)


def test_values_of_a_logarithmic_axis_lie_between_powers_of_ten() -> None:
    axis = value_axis(12.0, 480.0, 100.0, 0.0, logarithmic=True)
    assert [label.text for label in value_labels(axis, "ms")] == ["10 ms", "100 ms", "1,000 ms"]
    long = value_axis(2_000, 60_000, 200, 0, logarithmic=True)
    assert [label.text for label in value_labels(long, "ms")] == ["1,000 ms", "10 s", "100 s"], "as wide as the margin"
    assert (axis.place(10.0), axis.place(1000.0)) == (100.0, 0.0)


def test_a_lane_names_its_owner_and_the_length_of_a_pause() -> None:
    row = Lane("p0", [Stretch(-2, 0, "search-0"), Stretch(0, 0.6, kind="pause", text="600 ms"), Stretch(0.6, 8, NASTY)])
    figure = lanes([row], FRAME)
    texts = [text.text for text in drawing(figure).iter("text")]
    assert {"search-0", "600 ms", NASTY} <= set(texts)
    assert 'class="hatch"' in figure
    assert NASTY not in figure
    assert "<td>nobody</td>" in figure


def test_owners_keep_their_colours_from_one_drawing_to_the_next() -> None:
    figure = lanes([Lane("p0", [Stretch(0, 1, "b")])], FRAME, owners=("a", "b"))
    assert 'class="stretch serves o1"' in figure


def test_a_plot_has_its_limits_shades_and_series_in_words_too() -> None:
    points: list[tuple[float, float | None]] = [(-1.0, 5.0), (0.0, None), (1.0, 40.0)]
    series = [Series("seen", points), Series(NASTY, [(1.0, 3.0)], "crosses", "bad"), Series("s", points, "steps")]
    figure = plot(series, FRAME, unit="ms", limits=[LimitLine(30.0, "promised < 30 ms")])
    texts = [text.text for text in drawing(figure).iter("text")]
    assert {"a & b", "promised < 30 ms", "fault"} <= set(texts)
    assert NASTY not in figure


def test_empty_drawings_are_no_mistake() -> None:
    assert timeline([]) == bars([], title="t", unit="ms") == ""
    assert drawing(plot([Series("none", [])], FRAME)) is not None
    assert drawing(lanes([], FRAME)) is not None


def test_phases_at_the_same_moment_stand_side_by_side() -> None:
    figure = timeline([PhaseStop(5.0, f"phase {number}", "bad") for number in range(5)])
    places = [float(rect.get("x", "")) for rect in drawing(figure).iter("rect")]
    assert all(later - earlier > 90 for earlier, later in pairwise(places))
    assert "<td>phase 4</td>" in figure


def test_a_bar_with_too_few_values_says_so() -> None:
    figure = bars([BarGroup("after", "n = 20", [("p99", 60.0)], frozenset({"p99"}))], title="t", unit="ms")
    assert "60.0 ms, too few" in figure
    assert 'class="hatch"' in figure
