"""Ranks products for a query by one score: BM25 for its words, the cosine of text vectors for its meaning.

    score = w * bm25 / bm25 of a product that has all words of the query + (1 - w) * cosine

Cosines are computed in bfloat16 where the processor has it. The best `count` and 32 more are then scored again in
float32: on a million products the first ten were those of a ranking in float32 throughout. Of a catalogue with an
inverted file, candidates are the products of the cells nearest to the query, and the 500 best by BM25. Their scores are
those of the ranking of all products, but a product that is not a candidate is missing; training measures how many are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from numpy.typing import NDArray
from torch import Tensor

from models.search.inverted_file import InvertedFile, inner_products
from models.search.lexical import Lexical
from models.search.reading import ReadQuery

_SPARE, _TYPED = 32, 500
_MAX_QUERIES, _MAX_COSINES = 64, 1 << 25  # queries in one matrix product; fewer if their cosines would exceed 64 MB
_FEW = 4096  # products whose vectors are compared in float32 at once, 6 MB
_CACHED = 1 << 20  # scores that fit into a core's cache; more are ranked query by query
Ranked = tuple[list[list[float]], list[list[int]]]


class Ranking:
    """A catalogue's vectors [n, width] and words. Answers are scores and product indices, best first, by query."""

    def __init__(
        self, vectors: Tensor, lexical: Lexical, weight: float, inverted_file: InvertedFile | None, probes: int
    ) -> None:
        self.vectors, self.lexical, self.weight = vectors, lexical, weight
        self._inverted_file, self._probes = inverted_file, probes
        self._hidden: Tensor | None = None

    def make_kernels(self) -> None:
        """Generates oneDNN's machine code for every batch size, 0.8 MB each, once, before workers are forked."""
        size = 1
        while self._inverted_file is None and size <= self._queries_at_once():
            self._cosines(torch.zeros(size, self.vectors.shape[1]))
            size *= 2

    def hide(self, index: int, *, hidden: bool) -> None:
        """Leaves a product out of answers from now on, or no longer: a hidden one scores minus infinity."""
        if self._hidden is None:
            self._hidden = torch.zeros(len(self.vectors), dtype=torch.bool, device=self.vectors.device)
        self._hidden[index] = hidden

    def shown(self) -> NDArray[np.bool_]:
        """[n]: which products are not left out."""
        if self._hidden is None:
            return np.ones(len(self.vectors), bool)
        shown: NDArray[np.bool_] = (~self._hidden).cpu().numpy()
        return shown

    def read(self, text: str) -> ReadQuery:
        """A query in the words of the catalogue, for `best`."""
        return self.lexical.read(text)

    @property
    def reads_cells(self) -> bool:
        """Whether `best` looks at a part of the products only."""
        return self._inverted_file is not None

    def best(self, readings: Sequence[ReadQuery], queries: Tensor, count: int) -> Ranked:
        """The `count` best products for each of `readings`, whose vectors are `queries` [len(readings), width]."""
        if self._inverted_file is None:
            return self.rank_all(readings, queries, count)
        return self.rank_nearest_cells(readings, queries, count, self._inverted_file, self._probes)

    def coverage(self, reading: ReadQuery) -> NDArray[np.float32]:
        """How much of the query each product has; see `Lexical.coverage`."""
        return self.lexical.coverage(reading)

    def best_allowed(self, reading: ReadQuery, query: Tensor, count: int, allowed: NDArray[np.bool_]) -> Ranked:
        """The `count` best of the products that are `allowed` [n], which are all compared, for one query [1, width].

        With cells too, because the products that a filter leaves may be in none of the nearest ones. It takes as long
        as a search without cells: 28 ms for a million products, if the filter leaves more than some thousand.
        """
        indices = torch.from_numpy(np.flatnonzero(allowed)).to(self.vectors.device)
        bm25_shares = torch.from_numpy(self.lexical.scores([reading])[0]).to(self.vectors.device)
        if len(indices) > _FEW:
            scores = self._all_cosines(query)[indices].float().add_(bm25_shares[indices], alpha=self.weight)
            indices = indices[scores.topk(min(count + _SPARE, len(indices))).indices]
        return self._rescored(indices[None], bm25_shares[indices][None], query, min(count, len(indices)))

    def rank_all(self, readings: Sequence[ReadQuery], queries: Tensor, count: int) -> Ranked:
        """The same, by the scores of all products."""
        count = min(count, len(self.vectors))
        block = self._queries_at_once()
        parts = [
            self._block(readings[first : first + block], queries[first : first + block], count)
            for first in range(0, len(readings), block)
        ]
        return [row for part in parts for row in part[0]], [row for part in parts for row in part[1]]

    def rank_nearest_cells(
        self, readings: Sequence[ReadQuery], queries: Tensor, count: int, inverted_file: InvertedFile, probes: int
    ) -> Ranked:
        """The same, by the scores of the products of the `probes` nearest cells and of those that BM25 ranks first."""
        count = min(count, len(self.vectors))
        rows = zip(readings, torch.split(queries, 1), strict=True)
        ranked_rows = [self._rank_one(reading, query, count, inverted_file, probes) for reading, query in rows]
        return [values for values, _ in ranked_rows], [indices for _, indices in ranked_rows]

    def _block(self, readings: Sequence[ReadQuery], queries: Tensor, count: int) -> Ranked:
        cosines, spare = self._cosines(queries), min(count + _SPARE, len(self.vectors))
        if cosines.is_cuda or cosines.numel() <= _CACHED:
            bm25_shares = torch.from_numpy(self.lexical.scores(readings)).to(cosines.device)
            indices = self._shown(cosines.add(bm25_shares, alpha=self.weight)).topk(spare, dim=1).indices
            return self._rescored(indices, bm25_shares.gather(1, indices), queries, count)
        rows = [self._row(reading, row, spare) for reading, row in zip(readings, cosines, strict=True)]
        indices, bm25_shares = (torch.stack(part) for part in zip(*rows, strict=True))
        return self._rescored(indices, bm25_shares, queries, count)

    def _row(self, reading: ReadQuery, cosines: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The indices of the best products, and their shares of BM25."""
        bm25_shares = torch.from_numpy(self.lexical.scores([reading]))[0]
        indices = self._shown(cosines.add(bm25_shares, alpha=self.weight)).topk(count).indices
        return indices, bm25_shares[indices]

    def _cosines(self, queries: Tensor) -> Tensor:
        """[len(queries), n] cosines times their weight.

        Queries are padded to a power of two, because oneDNN generates machine code for each number of rows it meets.
        """
        padded = F.pad(queries * (1 - self.weight), (0, 0, 0, _power_of_two(len(queries)) - len(queries)))
        return (padded.to(self.vectors.dtype) @ self.vectors.T)[: len(queries)]

    def _all_cosines(self, query: Tensor) -> Tensor:
        """[n] cosines of one query [1, width] times their weight, by the kernel that is the fastest for one."""
        if self._inverted_file is None:
            return self._cosines(query)[0]
        return self.vectors @ (query[0] * (1 - self.weight)).to(self.vectors.dtype)

    def _queries_at_once(self) -> int:
        return min(_MAX_QUERIES, _power_of_two(_MAX_COSINES // len(self.vectors) // 2 + 1))

    def _rank_one(
        self, reading: ReadQuery, query: Tensor, count: int, inverted_file: InvertedFile, probes: int
    ) -> tuple[list[float], list[int]]:
        query_vector = query[0].to(self.vectors.dtype)
        cells = inverted_file.nearest(query_vector, probes, count)
        cosines, indices = inner_products(query_vector, self.vectors, cells)
        bm25_shares, typed_indices = self._bm25_best(reading)
        scores = cosines.float().mul_(1 - self.weight).add_(bm25_shares[indices], alpha=self.weight)
        scores = self._shown(scores, indices)
        nearest = indices[scores.topk(min(count + _SPARE, len(indices))).indices]
        candidates = torch.unique(torch.cat([nearest, typed_indices]))[None]
        values, ranked_rows = self._rescored(candidates, bm25_shares[candidates], query, count)
        return values[0], ranked_rows[0]

    def _bm25_best(self, reading: ReadQuery) -> tuple[Tensor, Tensor]:
        """BM25 shares of all products, and the indices of the best products."""
        bm25_shares, matches = map(torch.from_numpy, self.lexical.matches(reading))
        if self._hidden is not None:
            matches = matches[~self._hidden[matches]]
        return bm25_shares, matches[bm25_shares[matches].topk(min(_TYPED, len(matches))).indices]

    def _rescored(self, indices: Tensor, bm25_shares: Tensor, queries: Tensor, count: int) -> Ranked:
        """The best `count` of each row of `indices`, by cosines in float32."""
        exact_cosines = (F.embedding(indices, self.vectors).float() * queries[:, None]).sum(dim=2)
        scores = self._shown(torch.lerp(exact_cosines, bm25_shares, self.weight), indices)
        values, chosen = scores.topk(count, dim=1)
        return values.tolist(), indices.gather(1, chosen).tolist()

    def _shown(self, scores: Tensor, indices: Tensor | None = None) -> Tensor:
        """The scores, of all products or of those at `indices`, with hidden products at minus infinity."""
        if self._hidden is None:
            return scores
        return scores.masked_fill_(self._hidden if indices is None else self._hidden[indices], -torch.inf)


def _power_of_two(count: int) -> int:
    """The smallest power of two that is not below `count`."""
    return 1 << max(0, count - 1).bit_length()
