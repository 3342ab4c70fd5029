"""Rows of different lengths as flat arrays, so that one torch call computes a whole batch of histories or texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ragged:
    """The `values` of all rows, row after row; row r has `lengths[r]` of them."""

    values: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Ragged:
        """From lists of numbers, any of which may be empty."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        return cls(np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum())), lengths)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The index in `values` at which each row begins."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The row of each value."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @cached_property
    def columns(self) -> NDArray[np.int64]:
        """The index of each value in its row."""
        return np.arange(len(self.values)) - np.repeat(self.starts, self.lengths)

    def only(self, kept: NDArray[np.bool_]) -> Ragged:
        """The values for which `kept` is true, in the same rows."""
        return Ragged(self.values[kept], np.bincount(self.rows[kept], minlength=len(self.lengths)))
