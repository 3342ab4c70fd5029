"""How much larger the 99th percentile of one run is than that of another, and how sure that is: by bootstrap.

A resample of n values has as its k-th smallest the value at a place that is distributed as Beta(k, n - k + 1), so the
places are drawn instead of all the values. The answers of one run are not independent: slow ones come together. So n is
divided by how much more their number varies from one stretch of the run to the next than it would by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUANTILE = 0.99
_DRAWS = 4000
_STRETCH = 100  # answers
_SEED = 99  # the same runs give the same answer


@dataclass(frozen=True, slots=True)
class TailRatio:
    """`ratio`: the second p99 by the first. With 99 % certainty it lies between `at_least` and `at_most`."""

    first_ms: float
    second_ms: float
    ratio: float
    at_least: float
    at_most: float


def tail_ratio(first: Sequence[float], second: Sequence[float]) -> TailRatio:
    """Compares two samples of 100 positive values each at least, in order of time."""
    dice = np.random.default_rng(_SEED)
    ratios = _drawn(np.asarray(second), dice) / _drawn(np.asarray(first), dice)
    first_ms, second_ms = _quantile(first), _quantile(second)
    low, high = np.quantile(ratios, [0.005, 0.995])
    return TailRatio(first_ms, second_ms, second_ms / first_ms, float(low), float(high))


def _quantile(values: Sequence[float]) -> float:
    return sorted(values)[math.ceil(QUANTILE * len(values)) - 1]


def _drawn(values: NDArray[np.float64], dice: np.random.Generator) -> NDArray[np.float64]:
    ordered, n = np.sort(values), len(values)
    independent = n / _clustering(values >= ordered[math.ceil(QUANTILE * n) - 1])
    rank = QUANTILE * independent
    places = dice.beta(rank, independent - rank + 1, _DRAWS)
    return np.asarray(ordered[np.minimum((places * n).astype(np.int64), n - 1)])


def _clustering(is_slow: NDArray[np.bool_]) -> float:
    """How many times more the number of slow answers varies between stretches than by chance; 1 at least."""
    stretches = len(is_slow) // _STRETCH
    if stretches < 2:
        return 1.0
    counts = is_slow[: stretches * _STRETCH].reshape(stretches, _STRETCH).sum(axis=1)
    share = float(is_slow.mean())
    by_chance = _STRETCH * share * (1 - share)
    return max(1.0, float(counts.var(ddof=1)) / by_chance) if by_chance else 1.0
