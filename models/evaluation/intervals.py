"""Confidence intervals of mean figures over users, by bootstrap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DRAWS = 1000


def interval(figures: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the mean: percentiles of the means of 1,000 draws of as many users, with replacement."""
    if not len(figures):
        return (float("nan"), float("nan"))
    draw = np.random.default_rng(seed)
    means = [figures[draw.integers(0, len(figures), len(figures))].mean() for _ in range(_DRAWS)]
    low, high = np.percentile(means, [2.5, 97.5]).tolist()
    return (low, high)
