"""User-based nearest neighbours: what the customers with the most similar histories have."""

from __future__ import annotations

import torch
from torch import Tensor

from models.kernels.device import to_device
from models.kernels.ragged import Ragged
from models.recommend.interface import LATEST, Arrays, Constants, Ladder, Recipe, TrainingData, faded

_MOST_CELLS = 40_000_000  # customers times products: an answer compares its history with every customer's


class _Neighbours:
    """Scores by the `neighbours` customers whose histories are nearest by cosine."""

    def __init__(self, arrays: Arrays, constants: Constants, items: int) -> None:
        self._shape, self._constants, self._items = arrays["shape"].tolist(), constants, items
        indices = torch.stack([arrays["item"], arrays["user"]]).long()
        values = arrays["weight"].float()
        users = self._shape[1]
        norms = torch.zeros(users, device=values.device).index_add_(0, indices[1], values * values).sqrt()
        self._by_item = torch.sparse_coo_tensor(indices, values, (items, users), check_invariants=False).coalesce()
        unit = values / norms[indices[1]]
        self._by_user = torch.sparse_coo_tensor(
            indices.flip(0), unit, (users, items), check_invariants=False
        ).coalesce()

    def scores(self, history: Ragged) -> Tensor:
        rows = torch.zeros(self._items, len(history.lengths), device=self._by_item.device)
        arrays = (history.values, history.rows, faded(history, self._constants["latest"]))
        values, columns, weights = (to_device(array, rows.device) for array in arrays)
        rows[values, columns] = weights
        likeness = self._by_user @ rows
        likeness /= rows.norm(dim=0).clamp_(min=1e-9)
        kept = min(int(self._constants["neighbours"]), len(likeness))
        nearest = likeness.topk(kept, dim=0)
        chosen = torch.zeros_like(likeness).scatter_(0, nearest.indices, nearest.values ** self._constants["sharpness"])
        scores: Tensor = (self._by_item @ chosen).T
        return scores.contiguous()


def _fit(data: TrainingData, constants: Constants) -> Arrays:
    del constants
    pairs = data.pairs(0.0, 0.0)
    return {
        "item": torch.from_numpy(pairs.item).int(),
        "user": torch.from_numpy(pairs.user).int(),
        "weight": torch.from_numpy(pairs.weight),
        "shape": torch.tensor([pairs.items, pairs.users]),
    }


def _scorer(arrays: Arrays, constants: Constants, items: int) -> _Neighbours:
    return _Neighbours(arrays, constants, items)


def _too_large(data: TrainingData) -> str:
    cells = data.items * len(data.events.users)
    if cells <= _MOST_CELLS:
        return ""
    return f"every answer would be compared with {len(data.events.users):,} customers; it is for small shops"


USER_KNN = Recipe(
    "user-knn",
    "what the customers with the most similar histories have (user-based neighbours)",
    _fit,
    _scorer,
    (
        Ladder("neighbours", (20.0, 50.0, 100.0, 200.0, 400.0), 100.0, fitted=False),
        Ladder("sharpness", (0.5, 1.0, 2.0, 4.0), 1.0, fitted=False),
        Ladder("latest", LATEST, 0.0, fitted=False),
    ),
    quick=False,
    too_large=_too_large,
)
