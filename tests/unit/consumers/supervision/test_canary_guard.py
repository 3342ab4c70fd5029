"""When a challenger is ended for being worse, and when not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.channel.canary_figures import CanaryFigures
from consumers.supervision.canary_guard import words, worse
from standfast.core.settings import CanarySettings

SETTINGS = CanarySettings(min_overlap=0.3)


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (CanaryFigures(), None),
        (CanaryFigures(computed=10, failed=2), None),
        (CanaryFigures(computed=0, failed=3), "errors"),
        (CanaryFigures(computed=10_000, failed=200), None),
        (CanaryFigures(computed=10_000, failed=300), "errors"),
        (CanaryFigures(computed=100, timed=99, slower=99), None),
        (CanaryFigures(computed=100, timed=100, slower=50), None),
        (CanaryFigures(computed=100, timed=100, slower=51), "slow"),
        (CanaryFigures(computed=5, timed=5, slower=5, lost_s=1.5), "slow"),
        (CanaryFigures(computed=5, timed=5, slower=1, lost_s=9.0), None),
        (CanaryFigures(computed=99, compared=99, overlap=0.0), None),
        (CanaryFigures(computed=200, compared=200, overlap=50.0), "overlap"),
        (CanaryFigures(computed=200, compared=200, overlap=70.0), None),
    ],
    ids=[
        "nothing seen", "two failures", "fails on all", "as many as allowed", "more than allowed",
        "slow, too few calls", "half are slow", "most are slow", "slow, and has cost a second", "one hiccup",
        "other answers, too few", "other answers", "as alike as wanted",
    ],
)  # fmt: skip
def test_the_rule(seen: CanaryFigures, kind: str | None) -> None:
    found = worse(seen, SETTINGS)
    assert (found.kind if found else None) == kind
    assert found is None or found.reason


def test_what_is_not_to_be_judged_is_not() -> None:
    lenient = CanarySettings(max_errors=1.0)
    assert worse(CanaryFigures(computed=0, failed=100), lenient) is None
    assert worse(CanaryFigures(computed=500, compared=500, overlap=0.0), lenient) is None


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_what_is_ended_early_would_be_ended_later_too(computed: int, failed: int) -> None:
    """However well it did up to `min_answers`."""
    if worse(CanaryFigures(computed=computed, failed=failed), SETTINGS) is not None:
        rest = max(0, SETTINGS.min_answers - computed - failed)
        assert worse(CanaryFigures(computed=computed + rest, failed=failed), SETTINGS) is not None


def test_figures_of_workers_add_up() -> None:
    one, other = CanaryFigures(1, 2, 3, 4, 5.0, 6, 7.0), CanaryFigures(10, 20, 30, 40, 50.0, 60, 70.0)
    assert one + other == CanaryFigures(11, 22, 33, 44, 55.0, 66, 77.0)
    assert words(one) == "1 requests computed, 2 failed, 4 of 3 timed calls slower, overlap 1.17 of 6"
