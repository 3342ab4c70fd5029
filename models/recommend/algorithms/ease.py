"""EASE (Steck 2019, arXiv:1905.03375): an item-item model in closed form, better than most deep models here."""

from __future__ import annotations

import torch
from torch import Tensor

from models.recommend.interface import (
    HALF_LIFE_DAYS,
    LATEST,
    Arrays,
    Constants,
    Ladder,
    Recipe,
    Scorer,
    TrainingData,
)
from models.recommend.item_weights import item_arrays, item_scorer

_BLOCK_BYTES = 256 * 1024 * 1024  # bounds the dense block of items by users
_MOST_ITEMS = 16_000  # three matrices of 1 GB each, and some 150 s on two cores for each fit
_LAMBDAS = (1.0, 3.0, 10.0, 30.0, 60.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 5000.0)


def fit_ease(by_item: Tensor, regularisation: float, device: torch.device) -> Tensor:
    """[items, items] float32 weights, zero on the diagonal, from a sparse [items, users] matrix.

    Takes O(items^3) time (1.3 s for 3,747 items on two cores) and the memory of three such matrices.
    """
    gram = _gram(by_item).to(device)
    gram.diagonal().add_(regularisation)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    weights = inverse.div_(-inverse.diagonal().clone())
    return weights.fill_diagonal_(0).cpu().contiguous()


def _gram(by_item: Tensor) -> Tensor:
    """[items, items] co-occurrence, in blocks of items: no dense matrix of all items and users is allocated."""
    items, users = by_item.shape
    block = max(1, _BLOCK_BYTES // (4 * max(users, 1)))
    (item, user), values = by_item.indices(), by_item.values()
    gram = torch.empty(items, items)
    for first in range(0, items, block):
        last = min(first + block, items)
        begin, end = torch.searchsorted(item, torch.tensor([first, last])).tolist()
        dense = torch.zeros(users, last - first)
        dense[user[begin:end], item[begin:end] - first] = values[begin:end]
        gram[:, first:last] = by_item @ dense
    return gram


def _fit(data: TrainingData, constants: Constants) -> Arrays:
    pairs = data.pairs(constants["fade_days"], constants["power"]).of_first(data.items_met)
    return item_arrays(fit_ease(pairs.matrix(), constants["lambda"], data.device))


def _scorer(arrays: Arrays, constants: Constants, items: int) -> Scorer:
    return item_scorer(arrays, items, constants["latest"])


def _too_large(data: TrainingData) -> str:
    if data.items_met <= _MOST_ITEMS:
        return ""
    gigabytes = 12 * data.items_met**2 / 1e9
    return f"{data.items_met:,} products would take {gigabytes:.0f} GB; it is fitted up to {_MOST_ITEMS:,}"


EASE = Recipe(
    "ease",
    "item-item weights in closed form (EASE)",
    _fit,
    _scorer,
    (
        Ladder("lambda", _LAMBDAS, 100.0),
        Ladder("fade_days", HALF_LIFE_DAYS, 0.0),
        Ladder("power", (0.0, 0.5, 1.0), 0.0),
        Ladder("latest", LATEST, 0.0, fitted=False),
    ),
    too_large=_too_large,
)
