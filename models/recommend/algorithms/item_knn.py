"""Item-based nearest neighbours (Sarwar et al. 2001): products that the same customers have, by shrunk cosine."""

from __future__ import annotations

import numpy as np
import torch

from models.recommend.histories import Pairs
from models.recommend.interface import LATEST, Arrays, Constants, Ladder, Recipe, Scorer, TrainingData
from models.recommend.item_weights import item_scorer

_BLOCK = 25_000_000  # cells of the dense block of similarities, 100 MB
_LONGEST = 1_000  # latest products of a customer that count: a reseller's 50,000 would make 2.5 billion pairs


def _fit(data: TrainingData, constants: Constants) -> Arrays:
    """For each product its nearest ones, as rows of a sparse matrix."""
    from scipy.sparse import csr_matrix

    items, kept = data.items_met, min(int(constants["neighbours"]), data.items_met)
    pairs = _limited(data.pairs(0.0, constants["power"]).of_first(items))
    matrix = csr_matrix((pairs.weight, (pairs.item, pairs.user)), shape=(items, pairs.users))
    by_user, norms = matrix.T.tocsr(), np.sqrt(np.bincount(pairs.item, pairs.weight**2, items)).astype(np.float32)
    block, columns, weights = max(1, _BLOCK // max(items, 1)), [], []
    for first in range(0, items, block):
        met_together = (matrix[first : first + block] @ by_user).toarray()
        met_together[np.arange(len(met_together)), np.arange(first, first + len(met_together))] = 0
        shrunk = norms[first : first + block, None] * norms + constants["shrink"]
        best = torch.from_numpy(met_together / np.maximum(shrunk, 1e-9)).topk(kept, dim=1)
        columns.append(best.indices.int())
        weights.append(best.values)
    starts = torch.arange(0, items * kept + 1, max(kept, 1))
    return {"starts": starts, "columns": torch.cat(columns).flatten(), "weights": torch.cat(weights).flatten()}


def _limited(pairs: Pairs) -> Pairs:
    ends = np.searchsorted(pairs.user, pairs.user, side="right")
    return pairs.only(ends - np.arange(len(pairs.user)) <= _LONGEST)


def _scorer(arrays: Arrays, constants: Constants, items: int) -> Scorer:
    return item_scorer(arrays, items, constants["latest"])


ITEM_KNN = Recipe(
    "item-knn",
    "products that the same customers have (item-based neighbours)",
    _fit,
    _scorer,
    (
        Ladder("neighbours", (20.0, 50.0, 100.0, 200.0), 100.0),
        Ladder("shrink", (0.0, 10.0, 30.0, 100.0), 10.0),
        Ladder("power", (0.0, 0.5, 1.0), 0.0),
        Ladder("latest", LATEST, 0.0, fitted=False),
    ),
    quick=False,
)
