"""The best products for a query: BM25 for what was typed, vectors for what was meant, one score.

    score = w * bm25 / best bm25 of this query + (1 - w) * cosine

Vectors are compared in bfloat16 where the processor has it, and the best 32 more than were asked for are scored again
in float32: on a million products that changed none of the first ten. A catalogue with cells is not read whole. Then
candidates are the products of the cells nearest to the query, and the 500 best by BM25; each has the score that
it has in the ranking of all, but a product that is among neither may be missing. Training measures how many are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from torch import Tensor

from models.search.inverted_file import Cells, compared
from models.search.lexical import Lexical

_SPARE, _TYPED = 32, 500
_MOST, _TABLE = 64, 1 << 25  # queries compared at a time; fewer where their products would be more than 64 MB
_CACHED = 1 << 20  # scores that stay in a core's cache from one step to the next
Ranked = tuple[list[list[float]], list[list[int]]]


class Ranking:
    """A catalogue's vectors [n, width] and words. Answers are scores and places, best first, for each query."""

    def __init__(self, vectors: Tensor, lexical: Lexical, weight: float, cells: Cells | None, probes: int) -> None:
        self._vectors, self._lexical, self._weight = vectors, lexical, weight
        self._cells, self._probes = cells, probes

    def make_kernels(self) -> None:
        """Has the machine code made for every size of a batch, 0.8 MB each, once, before workers are forked."""
        size = 1
        while self._cells is None and size <= self._at_a_time():
            self._products(torch.zeros(size, self._vectors.shape[1]))
            size *= 2

    def best(self, texts: Sequence[str], queries: Tensor, count: int) -> Ranked:
        """The `count` best for each of `texts`, whose vectors are `queries` [len(texts), width]."""
        if self._cells is None:
            return self.of_all(texts, queries, count)
        return self.of_cells(texts, queries, count, self._cells, self._probes)

    def of_all(self, texts: Sequence[str], queries: Tensor, count: int) -> Ranked:
        """Every product is compared."""
        count = min(count, len(self._vectors))
        block = self._at_a_time()
        parts = [
            self._block(texts[first : first + block], queries[first : first + block], count)
            for first in range(0, len(texts), block)
        ]
        return [row for part in parts for row in part[0]], [row for part in parts for row in part[1]]

    def of_cells(self, texts: Sequence[str], queries: Tensor, count: int, cells: Cells, probes: int) -> Ranked:
        """The products of the `probes` nearest cells are compared, and those that BM25 ranks first."""
        count = min(count, len(self._vectors))
        rows = zip(texts, torch.split(queries, 1), strict=True)
        found = [self._near(text, query, count, cells, probes) for text, query in rows]
        return [values for values, _ in found], [places for _, places in found]

    def _block(self, texts: Sequence[str], queries: Tensor, count: int) -> Ranked:
        products, spare = self._products(queries), min(count + _SPARE, len(self._vectors))
        if products.is_cuda or products.numel() <= _CACHED:
            shared = torch.from_numpy(self._lexical.scores(texts)).to(products.device)
            shared /= shared.amax(dim=1, keepdim=True).clamp_(min=1e-6)
            places = products.add(shared, alpha=self._weight).topk(spare, dim=1).indices
            return self._rescored(places, shared.gather(1, places), queries, count)
        rows = [self._row(text, row, spare) for text, row in zip(texts, products, strict=True)]
        places, shared = (torch.stack(part) for part in zip(*rows, strict=True))
        return self._rescored(places, shared, queries, count)

    def _row(self, text: str, products: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The best places and their BM25, as shares of the best."""
        bm25 = torch.from_numpy(self._lexical.scores([text]))[0]
        most = max(1e-6, float(bm25.max()))
        places = products.add(bm25, alpha=self._weight / most).topk(count).indices
        return places, bm25[places] / most

    def _products(self, queries: Tensor) -> Tensor:
        """[len(queries), n], weighted; filled up, as oneDNN writes machine code for each number of rows it meets."""
        filled = F.pad(queries * (1 - self._weight), (0, 0, 0, _power_of_two(len(queries)) - len(queries)))
        return (filled.to(self._vectors.dtype) @ self._vectors.T)[: len(queries)]

    def _at_a_time(self) -> int:
        return min(_MOST, _power_of_two(_TABLE // len(self._vectors) // 2 + 1))

    def _near(self, text: str, query: Tensor, count: int, cells: Cells, probes: int) -> tuple[list[float], list[int]]:
        short = query[0].to(self._vectors.dtype)
        products, places = compared(short, self._vectors, cells.nearest(short, probes, count))
        bm25, most, typed = self._typed(text)
        scores = products.float().mul_(1 - self._weight).add_(bm25[places], alpha=self._weight / most)
        near = places[scores.topk(min(count + _SPARE, len(places))).indices]
        candidates = torch.unique(torch.cat([near, typed]))[None]
        values, found = self._rescored(candidates, bm25[candidates] / most, query, count)
        return values[0], found[0]

    def _typed(self, text: str) -> tuple[Tensor, float, Tensor]:
        """BM25 scores of all products, the highest of them, and the places of the highest."""
        bm25, sharing = map(torch.from_numpy, self._lexical.matches(text))
        highest = bm25[sharing].topk(min(_TYPED, len(sharing)))
        return bm25, float(highest.values[0]) if len(sharing) else 1.0, sharing[highest.indices]

    def _rescored(self, places: Tensor, shared: Tensor, queries: Tensor, count: int) -> Ranked:
        """The best `count` of each row of `places`, by products in float32."""
        exact = (F.embedding(places, self._vectors).float() * queries[:, None]).sum(dim=2)
        values, chosen = torch.lerp(exact, shared, self._weight).topk(count, dim=1)
        return values.tolist(), places.gather(1, chosen).tolist()


def _power_of_two(count: int) -> int:
    """The smallest that is not below `count`."""
    return 1 << max(0, count - 1).bit_length()
