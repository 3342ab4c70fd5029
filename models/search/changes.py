"""Products that changed since a search model was trained, beside its index, which stays as it is.

As in Lucene's segments: a changed or deleted product is hidden in the trained index, and what it has become is scored
in a small segment of its own, in float32. Both are merged by score. Cells and kernels are not built for the segment:
comparing a query with 10,000 changed products takes 2 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.attributes.live import LiveAttributes
from models.attributes.reading import Attributes
from models.search.changed_words import ChangedWords
from models.search.exact import ExactIndex, looked_up, names
from models.search.ranking import Ranked, Ranking
from models.search.reading import ReadQuery

_FIRST = 64  # rows for which there is room at first; doubled when they are used up


class Changes:
    """What changed; indices up to the number of trained products are theirs, those above are rows of the segment."""

    def __init__(
        self, item_ids: Sequence[str], ranking: Ranking, exact: ExactIndex, attributes: LiveAttributes | None = None
    ) -> None:
        self._trained_ids, self._ranking, self._exact = item_ids, ranking, exact
        self._attributes = attributes
        self._words = ChangedWords(ranking.lexical)
        self._ids: list[str] = []
        self._titles: list[str] = []
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        self._named: dict[str, list[int]] = {}
        self._hidden: set[int] = set()
        self._vectors = self._zeros(_FIRST)
        self._empty = torch.ones(_FIRST, dtype=torch.bool)
        self.read, self.words, self.as_trained = self._words.read, self._words.words, self._words.as_trained

    @property
    def least(self) -> int:
        """How many products `best` can give at least: all in the cells that it reads, if any, may be hidden."""
        trained = 0 if self._ranking.reads_cells else len(self._trained_ids) - len(self._hidden)
        return trained + len(self._rows)

    def shown(self) -> NDArray[np.bool_]:
        """Which products there are, of the trained ones and of the rows."""
        return np.concatenate([self._ranking.shown(), ~self._empty[: len(self._ids)].numpy()])

    def put(self, item_id: str, title: str, text: str, vector: Tensor, attributes: Attributes = ()) -> None:
        """A product is now this one; `vector` [width] is that of its text."""
        self._forget(item_id)
        row = self._free.pop() if self._free else self._next_row()
        self._words.add(row, text, item_id)
        # In the precision of the trained vectors: an unchanged product scores as before to the last digit.
        self._vectors[row] = vector.to(self._vectors.device).to(self._ranking.vectors.dtype)
        self._ids[row], self._titles[row] = item_id, title
        for name in dict.fromkeys(names(item_id, title)):
            self._named.setdefault(name, []).append(row)
        self._empty[row] = False
        self._rows[item_id] = row
        if self._attributes is not None:
            self._attributes.put(len(self._trained_ids) + row, attributes)
        self._hide(item_id, hidden=True)

    def delete(self, item_id: str) -> None:
        """There is no such product any more."""
        self._forget(item_id)
        self._hide(item_id, hidden=True)

    def restore(self, item_id: str) -> None:
        """The product is again what it was at training, if it was there then."""
        self._forget(item_id)
        self._hide(item_id, hidden=False)

    def product(self, index: int) -> tuple[str, str]:
        """Id and title of a product of the segment."""
        row = index - len(self._trained_ids)
        return self._ids[row], self._titles[row]

    def best(self, readings: Sequence[ReadQuery], queries: Tensor, count: int) -> Ranked:
        """The `count` best of all products for each of `readings`, which `read` gave; see `Ranking.best`."""
        trained = [self.as_trained(reading) for reading in readings]
        values, indices = self._ranking.best(trained, queries, count)
        if not self._ids:
            return values, indices
        changed_values, rows = self._best_rows(readings, queries, count)
        first = len(self._trained_ids)
        merged = [
            nlargest(count, (*zip(v, i, strict=True), *((score, first + row) for score, row in zip(w, r, strict=True))))
            for v, i, w, r in zip(values, indices, changed_values, rows, strict=True)
        ]
        return [[score for score, _ in row] for row in merged], [[index for _, index in row] for row in merged]

    def best_allowed(self, reading: ReadQuery, query: Tensor, count: int, allowed: NDArray[np.bool_]) -> Ranked:
        """The `count` best of the products that are `allowed`; see `Ranking.best_allowed`."""
        first = len(self._trained_ids)
        trained = self.as_trained(reading)
        ([values], [indices]) = self._ranking.best_allowed(trained, query, count, allowed[:first])
        rows = np.flatnonzero(allowed[first:])
        if len(rows):
            scores = self._row_scores([reading], query)[0, torch.from_numpy(rows)].tolist()
            pairs = (*zip(values, indices, strict=True), *zip(scores, (first + rows).tolist(), strict=True))
            best = nlargest(count, pairs)
            values, indices = [score for score, _ in best], [index for _, index in best]
        return [values], [indices]

    def coverage(self, reading: ReadQuery) -> NDArray[np.float32]:
        """How much of the query each product has; see `Lexical.coverage`."""
        trained = self._ranking.lexical.coverage(self.as_trained(reading))
        return np.concatenate([trained, self._words.coverage(reading, len(self._ids))])

    def by_words(self, reading: ReadQuery, index: int) -> float:
        """The share of BM25 of a product of the segment."""
        return float(self._words.scores([reading], len(self._ids))[0, index - len(self._trained_ids)])

    def has(self, index: int, term: int) -> bool:
        """Whether a product of the segment has a term."""
        return self._words.has(index - len(self._trained_ids), term)

    def find(self, text: str) -> list[int]:
        """Indices of the products with this code or title, in the catalogue's order; see `ExactIndex.find`."""
        first = len(self._trained_ids)
        for name in looked_up(text):
            trained = [index for index in self._exact.named(name) if index not in self._hidden]
            if found := [*trained, *(first + row for row in self._named.get(name, ()))]:
                return sorted(found, key=self._place)
        return []

    def _best_rows(self, readings: Sequence[ReadQuery], queries: Tensor, count: int) -> Ranked:
        best = self._row_scores(readings, queries).topk(min(count, len(self._ids)), dim=1)
        return best.values.tolist(), best.indices.tolist()

    def _row_scores(self, readings: Sequence[ReadQuery], queries: Tensor) -> Tensor:
        used = len(self._ids)
        bm25_shares = torch.from_numpy(self._words.scores(readings, used))
        cosines = (queries @ self._vectors[:used].T).cpu()
        return torch.lerp(cosines, bm25_shares, self._ranking.weight).masked_fill_(self._empty[:used], -torch.inf)

    def _place(self, index: int) -> int:
        """Where a product stands in the catalogue: where it stood at training, or behind all others."""
        row = index - len(self._trained_ids)
        trained = self._trained_index(self._ids[row]) if row >= 0 else None
        return index if trained is None else trained

    def _forget(self, item_id: str) -> None:
        row = self._rows.pop(item_id, None)
        if row is None:
            return
        self._words.remove(row)
        for name in dict.fromkeys(names(item_id, self._titles[row])):
            self._named[name].remove(row)
            if not self._named[name]:
                del self._named[name]
        self._empty[row] = True
        self._free.append(row)
        if self._attributes is not None:
            self._attributes.forget(len(self._trained_ids) + row)

    def _next_row(self) -> int:
        row = len(self._ids)
        if row == len(self._vectors):
            grown = self._zeros(2 * row)
            grown[:row] = self._vectors
            self._vectors = grown
            self._empty = torch.cat([self._empty, torch.ones_like(self._empty)])
        self._ids.append("")
        self._titles.append("")
        return row

    def _zeros(self, rows: int) -> Tensor:
        """Vectors [rows, width]; on a CPU, numpy's zeros take no memory before they are written to."""
        vectors = self._ranking.vectors
        return torch.from_numpy(np.zeros((rows, vectors.shape[1]), np.float32)).to(vectors.device)

    def _hide(self, item_id: str, *, hidden: bool) -> None:
        index = self._trained_index(item_id)
        if index is not None and hidden != (index in self._hidden):
            self._ranking.hide(index, hidden=hidden)
            self._hidden ^= {index}

    def _trained_index(self, item_id: str) -> int | None:
        return self._exact.index(item_id, self._trained_ids)
