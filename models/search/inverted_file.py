"""Finds a query's nearest neighbours among the products of the nearest k-means cells, not among all products.

An inverted file (IVF, Jégou et al. 2011) without compression. The catalogue is sorted by cell, so that a cell is a
slice of the vectors: no vector is stored twice or copied, and forked workers share them. Vectors are float16, because
torch multiplies a float16 matrix by one query with a kernel of its own: it takes half the time of oneDNN's bfloat16
kernel, which also generates 0.6 MB of machine code for each number of products that a cell holds.
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
class InvertedFile:
    """`centres` [cells, width] are unit vectors; cell c holds the products from `ends[c - 1]` up to `ends[c]`."""

    centres: Tensor
    ends: Tensor

    def __len__(self) -> int:
        """The number of cells."""
        return len(self.ends)

    def nearest(self, query: Tensor, probes: int, min_products: int) -> list[slice]:
        """The `probes` (nprobe) cells nearest to `query` [width]; more if these hold fewer than `min_products`."""
        starts = F.pad(self.ends[:-1], (1, 0))
        similarities = (self.centres @ query).float()
        products = -1
        while products < min_products:
            nearest = similarities.topk(min(probes, len(self))).indices
            begins, ends = starts[nearest].tolist(), self.ends[nearest].tolist()
            products = min_products if probes >= len(self) else sum(ends) - sum(begins)
            probes *= 2
        return [slice(begin, end) for begin, end in zip(begins, ends, strict=True) if begin < end]


def inner_products(query: Tensor, vectors: Tensor, cells: Sequence[slice]) -> tuple[Tensor, Tensor]:
    """Inner products of `query` [width] with the vectors of `cells`, and the indices of these vectors."""
    indices = torch.cat([torch.arange(cell.start, cell.stop) for cell in cells])
    return torch.cat([vectors[cell] @ query for cell in cells]), indices


def build_inverted_file(vectors: Tensor) -> tuple[InvertedFile, Tensor]:
    """The inverted file of unit `vectors` [n, width], and the order [n] that sorts them by cell.

    Spherical k-means on a sample, 4 sqrt(n) cells; the same vectors always give the same cells.
    """
    centres = _centres(vectors, min(len(vectors), 4 * isqrt(len(vectors))))
    cell_of = _closest(vectors, centres)
    ends = torch.bincount(cell_of, minlength=len(centres)).cumsum(0)
    return InvertedFile(centres, ends), cell_of.argsort(stable=True)


def _centres(vectors: Tensor, count: int) -> Tensor:
    """[count, width]. More rounds or a larger sample cost a minute for a million products, and recall does not rise."""
    rng = torch.Generator().manual_seed(0)
    sample = vectors[torch.randperm(len(vectors), generator=rng)[: count * _SAMPLE_PER_CELL]]
    centres = sample[:count]
    for _ in range(_ROUNDS):
        cell_of = _closest(sample, centres)
        sums = torch.zeros(count, sample.shape[1]).index_add_(0, cell_of, sample.float())
        empty = torch.bincount(cell_of, minlength=count) == 0
        sums[empty] = sample[torch.randint(len(sample), (int(empty.sum()),), generator=rng)].float()
        centres = F.normalize(sums, dim=1).to(vectors.dtype)
    return centres


def _closest(vectors: Tensor, centres: Tensor) -> Tensor:
    return torch.cat([(block @ centres.T).argmax(dim=1) for block in torch.split(vectors, _BLOCK)])
