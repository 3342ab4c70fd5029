"""Popularity and trend: the same for everybody, what most customers have or have lately."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.kernels.ragged import Ragged
from models.recommend.interface import Arrays, Constants, Ladder, Recipe, TrainingData

_DAYS = (1.0, 2.0, 5.0, 10.0, 30.0, 90.0, 365.0)


class _ForAll:
    """Scores that do not depend on the history."""

    def __init__(self, scores: Tensor) -> None:
        self._scores = scores

    def scores(self, history: Ragged) -> Tensor:
        return self._scores.expand(len(history.lengths), -1)


def prior(data: TrainingData, half_life_days: float = 0.0) -> Tensor:
    """[items] in [0, 1]: how many customers met each item, relative to the most; each counts less with age."""
    pairs = data.pairs(half_life_days)
    sums = np.bincount(pairs.item, weights=pairs.weight if half_life_days else None, minlength=data.items)
    return torch.from_numpy((sums / max(float(sums.max(initial=0)), 1e-9)).astype(np.float32))


def _popularity(data: TrainingData, constants: Constants) -> Arrays:
    del constants
    return {"prior": prior(data)}


def _trend(data: TrainingData, constants: Constants) -> Arrays:
    return {"prior": prior(data, constants["days"])}


def _scorer(arrays: Arrays, constants: Constants, items: int) -> _ForAll:
    del constants, items
    return _ForAll(arrays["prior"])


POPULARITY = Recipe("popularity", "what most customers have", _popularity, _scorer)
TREND = Recipe(
    "trend",
    "what sells at present: an event counts half after so many days",
    _trend,
    _scorer,
    (Ladder("days", _DAYS, 10.0),),
)
