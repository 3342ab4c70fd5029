"""Sequences of products of different lengths as one rectangle: oldest first, padded behind their ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.kernels.ragged import Ragged

_NARROWEST = 8  # places, so that there are few shapes
_ALIKE = 8  # lengths that differ by less may stand in one batch


@dataclass(frozen=True, slots=True)
class Padded:
    """`items` [sequences, width] are indices of items, oldest first. Behind `lengths` [sequences] stand zeros."""

    items: Tensor
    lengths: Tensor

    @property
    def filled(self) -> Tensor:
        """[sequences, width], true where a product stands."""
        return torch.arange(self.items.shape[1], device=self.items.device) < self.lengths[:, None]

    def to(self, device: torch.device) -> Padded:
        """The same on a device."""
        return Padded(self.items.to(device), self.lengths.to(device))


def chunks(lengths: NDArray[np.int64], places: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Rows whose sequences are computed together, and the width to which they are padded; empty sequences are in none.

    Widths are powers of two, and no chunk has more than `places` places unless one sequence alone has.
    """
    widths = np.maximum(_NARROWEST, 2 ** np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64))
    for width in np.unique(widths[lengths > 0]).tolist():
        rows, size = np.flatnonzero((widths == width) & (lengths > 0)), max(1, places // width)
        for first in range(0, len(rows), size):
            yield rows[first : first + size], width


def latest(history: Ragged, rows: NDArray[np.int64], window: int, width: int) -> Padded:
    """The `window` latest products of some rows of `history`, in which each row's latest come first; none is empty.

    Sequences of one product are added up to a power of two: oneDNN generates code for each number of rows it meets.
    """
    count = 1 << (len(rows) - 1).bit_length()
    lengths, starts = np.ones(count, np.int64), np.zeros(count, np.int64)
    lengths[: len(rows)], starts[: len(rows)] = np.minimum(history.lengths[rows], window), history.starts[rows]
    back = lengths[:, None] - 1 - np.arange(width)
    items = np.where(back >= 0, history.values[starts[:, None] + np.maximum(back, 0)], 0)
    return Padded(torch.from_numpy(items), torch.from_numpy(lengths))


@dataclass(frozen=True, slots=True)
class Sequences:
    """Users' products to learn from, oldest first: `counts` of them from `starts` on, user by user."""

    items: NDArray[np.int64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def steps(self) -> int:
        """How many times a product follows another."""
        return int(np.maximum(self.counts - 1, 0).sum())

    def batches(self, longest: int, places: int, draw: np.random.Generator) -> Iterator[Padded]:
        """Every step from a product to the next once, in an order of chance, in batches of about `places` places.

        A sequence of more than `longest` steps is cut where chance wills, each time elsewhere.
        """
        begins, lengths = self._windows(longest, draw)
        for chosen in _alike(lengths, places, draw):
            columns = np.arange(lengths[chosen].max())
            at = np.minimum(begins[chosen, None] + columns, len(self.items) - 1)
            items = np.where(columns < lengths[chosen, None], self.items[at], 0)
            yield Padded(torch.from_numpy(items), torch.from_numpy(lengths[chosen]))

    def _windows(self, longest: int, draw: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each window begins and how many products it has: one more than steps, so they overlap by one."""
        used = self.counts > 1
        steps, starts = self.counts[used] - 1, self.starts[used]
        first = np.where(steps > longest, draw.integers(1, longest + 1, len(steps)), longest)
        windows = 1 + np.maximum(0, -(-(steps - first) // longest))
        row = np.repeat(np.arange(len(steps)), windows)
        number = np.arange(len(row)) - np.repeat(np.cumsum(windows) - windows, windows)
        end = np.minimum(steps[row], first[row] + number * longest)
        begin = np.maximum(0, first[row] + (number - 1) * longest)
        return starts[row] + begin, end - begin + 1


def _alike(lengths: NDArray[np.int64], places: int, draw: np.random.Generator) -> list[NDArray[np.int64]]:
    """Windows of about equal length together, so that little is padded."""
    order = draw.permutation(len(lengths))
    order = order[np.argsort(lengths[order] // _ALIKE, kind="stable")]
    groups: list[list[int]] = []
    for window, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        if not groups or (len(groups[-1]) + 1) * length > places:
            groups.append([])
        groups[-1].append(window)
    return [np.array(groups[number], np.int64) for number in draw.permutation(len(groups)).tolist()]
