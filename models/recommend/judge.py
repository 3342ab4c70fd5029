"""Judges recommenders by what their users met later: nDCG@10 over the full ranking, user by user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.kernels.ragged import Ragged
from models.recommend.histories import Pairs
from models.recommend.interface import Scorer

_K = 10
_CELLS = 10_000_000  # scores of all users for all items that are held at once, 40 MB a recommender
_BATCH = 64


@dataclass(frozen=True)
class Judge:
    """Users with what they met before, latest first, and the products they met first afterwards.

    `scored`: the latest products of each history, as many as a served model computes scores from. `hidden`: products
    that may not be in a ranking, because they were seen before or are asked for elsewhere. `user`: their numbers,
    `kind`: which of the questions each row asks.
    """

    user: NDArray[np.int64]
    kind: NDArray[np.int64]
    scored: Ragged
    hidden: Ragged
    wanted: Ragged
    items: int

    @classmethod
    def of(cls, past: Pairs, asked: Sequence[Pairs], most: int, longest: int) -> Judge:
        """For each of `asked` the users who met something before and something new in it, evenly chosen.

        `most` bounds how many rows there are, `longest` the products of a history that are scored.
        """
        rows = [
            (kind, *row)
            for kind, later in enumerate(asked)
            for row in _rows_of(past, later, asked, max(1, most // len(asked)))
        ]
        kinds, user, seen, hidden, wanted = zip(*rows, strict=True) if rows else ((), (), (), (), ())
        histories = Ragged.of(seen)
        scored = histories.only(histories.columns < longest)
        return cls(
            np.array(user, np.int64),
            np.array(kinds, np.int64),
            scored,
            Ragged.of(hidden),
            Ragged.of(wanted),
            past.items,
        )

    def __len__(self) -> int:
        return len(self.user)

    def divided(self) -> tuple[Judge, Judge]:
        """Three quarters of the users, to choose by, and the others, who see only what was chosen."""
        quarter = (
            self.user * 2654435761 % 2**32 >> 30 == 3
        )  # hashed: users are chosen evenly, maybe each fourth of them
        return self._of(~quarter), self._of(quarter)

    def _of(self, kept: NDArray[np.bool_]) -> Judge:
        scored, hidden, wanted = (
            Ragged(part.values[kept[part.rows]], part.lengths[kept]) for part in (self.scored, self.hidden, self.wanted)
        )
        return Judge(self.user[kept], self.kind[kept], scored, hidden, wanted, self.items)

    @property
    def kinds(self) -> list[int]:
        """The kinds of questions that are asked."""
        kinds: list[int] = np.unique(self.kind).tolist()
        return kinds

    def quality(self, figures: NDArray[np.float64], kind: int | None = None) -> float:
        """The mean figure of one kind of question; for None the mean of all kinds, each counting alike."""
        kinds = self.kinds if kind is None else [kind]
        return float(np.mean([figures[self.kind == each].mean() for each in kinds]))

    def scores(self, scorer: Scorer) -> Tensor:
        """[users, items] scores on the CPU, computed in batches as a worker computes them."""
        with torch.inference_mode():
            parts = [scorer.scores(self._rows(first)).float().cpu() for first in range(0, len(self), _BATCH)]
        return torch.cat(parts) if parts else torch.zeros(0, self.items)

    def _rows(self, first: int) -> Ragged:
        lengths = self.scored.lengths[first : first + _BATCH]
        begin = int(self.scored.starts[first])
        return Ragged(self.scored.values[begin : begin + int(lengths.sum())], lengths)

    def rankings(self, scores: Tensor, count: int = _K) -> NDArray[np.int64]:
        """[users, count] items, best first, without those seen before; -1 where there are no more."""
        masked = scores.clone()
        masked[torch.from_numpy(self.hidden.rows), torch.from_numpy(self.hidden.values)] = -torch.inf
        best = masked.topk(min(count, self.items), dim=1)
        ranked: NDArray[np.int64] = best.indices.masked_fill(best.values == -torch.inf, -1).numpy()
        return ranked

    def ndcg(self, scores: Tensor) -> NDArray[np.float64]:
        """nDCG@10 of each user."""
        return self.ndcg_of(self.rankings(scores))

    def ndcg_of(self, rankings: NDArray[np.int64]) -> NDArray[np.float64]:
        """nDCG@10 of each user's ranking."""
        hits = self._hits(rankings[:, :_K])
        discounts = 1 / np.log2(np.arange(_K) + 2)
        ideal = np.cumsum(discounts)[np.minimum(self.wanted.lengths, _K) - 1]
        gains: NDArray[np.float64] = (hits * discounts[: hits.shape[1]]).sum(axis=1) / ideal
        return gains

    def recall_of(self, rankings: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of each user's wanted items that are in the ranking."""
        shares: NDArray[np.float64] = self._hits(rankings).sum(axis=1) / self.wanted.lengths
        return shares

    def _hits(self, rankings: NDArray[np.int64]) -> NDArray[np.bool_]:
        cells = np.arange(len(rankings))[:, None] * self.items + rankings
        hits: NDArray[np.bool_] = np.isin(cells, self._wanted_cells) & (rankings >= 0)
        return hits

    @cached_property
    def _wanted_cells(self) -> NDArray[np.int64]:
        return self.wanted.rows * self.items + self.wanted.values


def _rows_of(
    past: Pairs, later: Pairs, asked: Sequence[Pairs], most: int
) -> list[tuple[int, list[int], list[int], list[int]]]:
    """(user, seen, hidden, wanted) for at most `most` users of `later`."""
    rows = []
    for user in np.unique(later.user).tolist():
        history = past.of_user(user)[::-1].tolist()
        new = set(later.of_user(user).tolist()) - set(history)
        if history and new:
            elsewhere = {item for other in asked if other is not later for item in other.of_user(user).tolist()}
            rows.append((user, history, [*history, *(elsewhere - new - set(history))], sorted(new)))
    bounded = max(1, min(most, _CELLS // max(1, past.items)))
    return rows[:: max(1, -(-len(rows) // bounded))]
