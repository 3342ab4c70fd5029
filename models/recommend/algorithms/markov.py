"""First-order Markov chain: what customers met next after a product; with `latest` above 1 the last few count."""

from __future__ import annotations

import numpy as np
import torch

from models.recommend.interface import Arrays, Constants, Ladder, Recipe, Scorer, TrainingData
from models.recommend.item_weights import item_scorer

_KEPT = 200  # successors of a product: those behind have next to no share
_LATEST = 20  # products of a history that count: beyond, a half-life of 4 leaves a 32nd


def _fit(data: TrainingData, constants: Constants) -> Arrays:
    """Shares of the successors of each product, smoothed by `smoothing` further visits without a successor."""
    pairs = data.pairs()
    same = pairs.user[1:] == pairs.user[:-1]
    step = pairs.item[:-1][same] * data.items + pairs.item[1:][same]
    cells, counts = np.unique(step, return_counts=True)
    source, target = cells // data.items, cells % data.items
    visits = np.bincount(source, weights=counts, minlength=data.items)
    share = counts / (visits[source] + constants["smoothing"])
    order = np.lexsort((-share, source))
    begins = np.searchsorted(source[order], np.arange(data.items))
    kept = order[np.arange(len(order)) - begins[source[order]] < _KEPT]
    starts = np.searchsorted(source[kept], np.arange(data.items + 1))
    return {
        "starts": torch.from_numpy(starts.astype(np.int64)),
        "columns": torch.from_numpy(target[kept].astype(np.int32)),
        "weights": torch.from_numpy(share[kept].astype(np.float32)),
    }


def _first_order(arrays: Arrays, constants: Constants, items: int) -> Scorer:
    del constants
    return item_scorer(arrays, items, 0.0, latest=1)


def _scorer(arrays: Arrays, constants: Constants, items: int) -> Scorer:
    return item_scorer(arrays, items, constants["latest"], _LATEST)


def _plain(data: TrainingData, constants: Constants) -> Arrays:
    del constants
    return _fit(data, {"smoothing": 0.0})


MARKOV = Recipe(
    "markov", "what customers met next after the last product (first-order Markov chain)", _plain, _first_order
)

SUCCESSION = Recipe(
    "succession",
    "what customers met next after the last few products, the last of them most",
    _fit,
    _scorer,
    (Ladder("smoothing", (0.0, 3.0, 10.0, 30.0), 3.0), Ladder("latest", (0.5, 1.0, 2.0, 4.0), 1.0, fitted=False)),
)
