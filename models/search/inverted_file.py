"""Finds a query's neighbours without comparing it with every product: k-means cells, of which the nearest are read.

An inverted file (Jégou et al. 2011) without compression. The catalogue itself is put into the order of its cells, so
that a cell is a slice of the vectors: nothing is stored twice, nothing is copied, and forked workers share it.
Vectors are in float16, because torch compares it with one query by a kernel of its own: half the time of oneDNN's for
bfloat16, and no machine code of 0.6 MB for each number of products that a cell holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from torch import Tensor

_ROUNDS, _SAMPLE_PER_CELL, _BLOCK = 4, 20, 8192
PRECISION = torch.float16


@dataclass(frozen=True, slots=True)
class Cells:
    """`centres` [cells, width] unit rows; cell c holds the products from `ends[c - 1]` up to `ends[c]`."""

    centres: Tensor
    ends: Tensor

    def __len__(self) -> int:
        return len(self.ends)

    def nearest(self, query: Tensor, probes: int, least: int) -> list[slice]:
        """The `probes` cells nearest to `query` [width]; more where they hold fewer than `least` products."""
        starts = F.pad(self.ends[:-1], (1, 0))
        closeness = (self.centres @ query).float()
        held = -1
        while held < least:
            nearest = closeness.topk(min(probes, len(self))).indices
            begins, ends = starts[nearest].tolist(), self.ends[nearest].tolist()
            held = least if probes >= len(self) else sum(ends) - sum(begins)
            probes *= 2
        return [slice(begin, end) for begin, end in zip(begins, ends, strict=True) if begin < end]


def compared(query: Tensor, vectors: Tensor, cells: Sequence[slice]) -> tuple[Tensor, Tensor]:
    """Inner products of `query` [width] with the products of `cells`, and the places of these products."""
    places = torch.cat([torch.arange(cell.start, cell.stop) for cell in cells])
    return torch.cat([vectors[cell] @ query for cell in cells]), places


def divide(vectors: Tensor) -> tuple[Cells, Tensor]:
    """Cells for unit `vectors` [n, width], and the order [n] that puts them cell after cell.

    Spherical k-means on a sample, 4 sqrt(n) cells; the same vectors always give the same cells.
    """
    centres = _centres(vectors, min(len(vectors), 4 * isqrt(len(vectors))))
    cell_of = _closest(vectors, centres)
    ends = torch.bincount(cell_of, minlength=len(centres)).cumsum(0)
    return Cells(centres, ends), cell_of.argsort(stable=True)


def _centres(vectors: Tensor, count: int) -> Tensor:
    """More rounds or a larger sample cost a minute for a million products and find nothing more."""
    chance = torch.Generator().manual_seed(0)
    sample = vectors[torch.randperm(len(vectors), generator=chance)[: count * _SAMPLE_PER_CELL]]
    centres = sample[:count]
    for _ in range(_ROUNDS):
        cell_of = _closest(sample, centres)
        sums = torch.zeros(count, sample.shape[1]).index_add_(0, cell_of, sample.float())
        empty = torch.bincount(cell_of, minlength=count) == 0
        sums[empty] = sample[torch.randint(len(sample), (int(empty.sum()),), generator=chance)].float()
        centres = F.normalize(sums, dim=1).to(vectors.dtype)
    return centres


def _closest(vectors: Tensor, centres: Tensor) -> Tensor:
    return torch.cat([(block @ centres.T).argmax(dim=1) for block in torch.split(vectors, _BLOCK)])
