"""When the latency of a load has settled, and that the wait for it is bounded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from bench.failover.warm_up import has_settled, warm_up

RISING = [number / 80 for number in range(80)]


class Answering:
    """A load with these numbers of unanswered requests, one for each look."""

    def __init__(self, under_way: Iterator[int]) -> None:
        self._under_way = under_way

    def unanswered(self) -> int:
        return next(self._under_way)


@pytest.mark.parametrize(
    ("waits", "settled"),
    [
        ([0.1] * 79, False),
        ([0.1] * 80, True),
        ([0.1] * 40 + [0.12] * 40, True),
        ([0.1] * 40 + [0.2] * 40, False),
        ([0.001] * 40 + [0.015] * 40, True),
        (RISING, False),
        (RISING[::-1], False),
        ([4.0] * 80, False),
    ],
)
def test_two_spans_alike_are_a_settled_load_unless_it_is_a_backlog(waits: list[float], settled: bool) -> None:
    assert has_settled(waits) == settled


def test_a_backlog_is_waited_for() -> None:
    falling, steady = Answering(iter([*range(200, 0, -2), *[3] * 200])), Answering(itertools.repeat(1))
    result = warm_up({falling: 100.0, steady: 10.0}, span_s=0.04, within_s=30.0)
    assert result.settled
    assert result.seconds >= 0.08


def test_a_load_that_never_settles_is_waited_for_so_long_and_no_longer() -> None:
    assert not warm_up({Answering(itertools.count()): 1.0}, span_s=0.01, within_s=0.1).settled
