"""Why a product is recommended: the products of the history that add most to its score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from models.kernels.ragged import Ragged
from schemas.records import Because, Why

_MOST = 3
_WORTH = 0.5  # of what the first one adds


@runtime_checkable
class Additive(Protocol):
    """A recommender whose score is a sum over the products of a history."""

    def scores(self, history: Ragged) -> Tensor:
        """[histories, items] float32 scores."""

    def apart(self, row: Sequence[int], items: Sequence[int]) -> Tensor:
        """[len(row), len(items)]: what each product of one history, the latest first, adds to these items' scores."""


def reasons(
    scorer: Additive, row: Sequence[int], items: Sequence[int], product: Callable[[int], tuple[str, str]]
) -> list[Why | None]:
    """Why each of `items` is recommended to somebody with this history; None where no product of it adds anything.

    `product` gives the id and title of an index.
    """
    if not row or not items:
        return [None] * len(items)
    best = scorer.apart(row, items).topk(min(_MOST, len(row)), dim=0)
    columns = zip(best.values.T.tolist(), best.indices.T.tolist(), strict=True)
    return [_why([(added, row[place]) for added, place in zip(*column, strict=True)], product) for column in columns]


def _why(added: Sequence[tuple[float, int]], product: Callable[[int], tuple[str, str]]) -> Why | None:
    worth = max(_WORTH * added[0][0], 1e-6)
    because = [Because(*product(item), round(score, 6)) for score, item in added if score >= worth]
    return Why(because=because) if because else None
