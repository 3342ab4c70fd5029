"""Several recommenders as one: the weighted sum of their scores, each brought to the same size.

    score(item) = sum over recommenders of  weight * scores(item) / root mean square of this answer's scores
                  + tie * prior(item)

The prior, what sells at present or ever, ranks the products for which the recommenders have nothing to say; for an
empty history it is all there is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.kernels.ragged import Ragged
from models.recommend.interface import Scorer
from models.recommend.reasons import Additive

_TIE = 1e-3  # of a prior in [0, 1]: scores that differ have a root mean square of 1
_SILENT = 1e-9  # below it a recommender has nothing to say of a history


class Blend:
    """A recommender made of several with their weights; one alone keeps its ranking."""

    def __init__(self, parts: Sequence[tuple[Scorer, float]], prior: Tensor) -> None:
        self._parts, self._tie = parts, prior * _TIE

    def scores(self, history: Ragged) -> Tensor:
        """[histories, items] scores."""
        total = self._tie.repeat(len(history.lengths), 1)
        for scorer, weight in self._parts:
            add_scaled(total, scorer.scores(history), weight)
        return total

    def apart(self, row: Sequence[int], items: Sequence[int]) -> Tensor:
        """[len(row), len(items)]: what each product of one history adds to the scores of these items.

        0 for recommenders that do not score product by product, such as those by factors or by similar customers.
        """
        added = torch.zeros(len(row), len(items))
        for scorer, weight in self._parts:
            if isinstance(scorer, Additive):
                size = _size(scorer.scores(Ragged.of([row])))
                added += scorer.apart(row, items) * (weight / float(size.clamp_(min=_SILENT)))
        return added


def add_scaled(total: Tensor, scores: Tensor, weight: float) -> Tensor:
    """Adds a recommender's scores to those of others, in place."""
    return total.addcdiv_(scores, _size(scores).clamp_(min=_SILENT), value=weight)


def _size(scores: Tensor) -> Tensor:
    """[histories, 1]: the root mean square of each history's scores."""
    size: Tensor = torch.linalg.vector_norm(scores, dim=1, keepdim=True).mul_(scores.shape[1] ** -0.5)
    return size
