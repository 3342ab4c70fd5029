"""Of very many points those that a drawing needs: what is high in a stretch of time is never left out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_PER_COLUMN = 4  # points of one column that are kept: the largest, the smallest, and two of those between


def thinned(times: ArrayLike, values: ArrayLike, most: int) -> NDArray[np.int64]:
    """The indexes of at most `most` points, in order of time: of each column of the drawing the maximum, and others.

    All of them if there are no more than `most`, which has to be 4 at least.
    """
    at, height = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(at) <= most:
        return np.argsort(at, kind="stable")
    columns = most // _PER_COLUMN
    span = max(float(at.max() - at.min()), 1e-9)
    column = np.minimum(((at - at.min()) / span * columns).astype(np.int64), columns - 1)
    order = np.lexsort((height, column))
    starts = np.searchsorted(column[order], np.arange(columns), side="left")
    ends = np.searchsorted(column[order], np.arange(columns), side="right") - 1
    there = ends >= starts
    starts, ends = starts[there], ends[there]
    shares = np.linspace(0.0, 1.0, _PER_COLUMN)
    kept = np.unique(np.concatenate([np.rint(starts + share * (ends - starts)).astype(np.int64) for share in shares]))
    chosen: NDArray[np.int64] = order[kept]
    return np.asarray(chosen[np.argsort(at[chosen], kind="stable")])
