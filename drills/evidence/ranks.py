"""Whether the values of one sample tend to be larger than another's: the Mann-Whitney test and its effect size."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class RankTest:
    """`p`: how likely such a difference is between two samples of the same distribution (two-sided).

    `larger`: the share of pairs in which the second sample's value is the larger one, ties count half (Vargha and
    Delaney's A): 0.5 is no difference, 0.64 a medium one. `at_most`: it is not above this with 95 % certainty.
    """

    p: float
    larger: float
    at_most: float


def rank_test(first: Sequence[float], second: Sequence[float]) -> RankTest:
    """Compares two samples of at least one value each; the normal approximation holds from 20 values on."""
    ordered = sorted(first)
    n, m = len(ordered), len(second)
    wins = sum((bisect_left(ordered, value) + bisect_right(ordered, value)) / 2 for value in second)
    larger = wins / (n * m)
    return RankTest(p=_p(wins, n, m, Counter([*first, *second])), larger=larger, at_most=_at_most(larger, n, m))


def _p(wins: float, n: int, m: int, counts: Counter[float]) -> float:
    total = n + m
    ties = sum(count**3 - count for count in counts.values()) / (total * (total - 1)) if total > 1 else 0.0
    deviation = math.sqrt(max(0.0, n * m / 12 * (total + 1 - ties)))
    if deviation == 0.0:
        return 1.0
    distance = max(0.0, abs(wins - n * m / 2) - 0.5) / deviation
    return 2 * (1 - _NORMAL.cdf(distance))


def _at_most(larger: float, n: int, m: int) -> float:
    """The upper 95 % bound, with the standard error of Hanley and McNeil (1982)."""
    q1, q2 = larger / (2 - larger), 2 * larger**2 / (1 + larger)
    variance = larger * (1 - larger) + (m - 1) * (q1 - larger**2) + (n - 1) * (q2 - larger**2)
    return min(1.0, larger + 1.645 * math.sqrt(max(0.0, variance) / (n * m)))
