"""Finds a recommender's constants: up and down each ladder, as long as the judged quality rises."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.recommend.interface import Arrays, Constants, Ladder, Recipe, TrainingData
from models.recommend.judge import Judge

_PASSES = 2  # over all ladders: the best value of one constant moves with the others


@dataclass(frozen=True, slots=True)
class Tried:
    """A recommender with constants that were tried, the scores it gave the judge's users, and their quality."""

    recipe: Recipe
    constants: dict[str, float]
    quality: float
    scores: Tensor
    seconds: float


_Key: TypeAlias = tuple[tuple[str, float], ...]


@dataclass
class _Search:
    """What was tried so far, and the best of it for each kind of question; kind None is all of them."""

    recipe: Recipe
    data: TrainingData
    judge: Judge
    kinds: list[int | None]
    begun: float = field(default_factory=time.monotonic)
    best: dict[int | None, tuple[float, Tried]] = field(default_factory=dict)
    _arrays: dict[_Key, Arrays] = field(default_factory=dict)
    _ndcg: dict[_Key, NDArray[np.float64]] = field(default_factory=dict)

    def quality(self, constants: Constants, kind: int | None) -> float:
        key = tuple(sorted(constants.items()))
        if key not in self._ndcg:
            scores = self.judge.scores(self.recipe.scorer(self._fitted(constants), constants, self.data.items))
            self._ndcg[key] = self.judge.ndcg(scores)
            self._keep(dict(constants), self._ndcg[key], scores)
        return self.judge.quality(self._ndcg[key], kind)

    def _keep(self, constants: dict[str, float], ndcg: NDArray[np.float64], scores: Tensor) -> None:
        seconds = time.monotonic() - self.begun
        tried = Tried(self.recipe, constants, self.judge.quality(ndcg), scores, seconds)
        for kind in self.kinds:
            quality = self.judge.quality(ndcg, kind)
            if kind not in self.best or quality > self.best[kind][0]:
                self.best[kind] = (quality, tried)

    def _fitted(self, constants: Constants) -> Arrays:
        """The arrays of the last fit are kept: constants of scoring alone are tried on them."""
        names = [ladder.name for ladder in self.recipe.ladders if ladder.fitted]
        key = tuple((name, constants[name]) for name in names)
        if key not in self._arrays:
            self._arrays = {key: self.data.fitted(self.recipe, constants)}
        return self._arrays[key]

    def climb(self, kind: int | None, passes: int) -> None:
        """Up and down each ladder, as long as the quality for this kind of question rises."""
        best = dict(self.recipe.start)
        for _ in range(passes):
            before = dict(best)
            for ladder in self.recipe.ladders:
                if not (ladder.name == "power" and self.data.equal_weights):
                    best = self._climbed(best, ladder, kind)
            if best == before:
                break
        self.quality(best, kind)  # also one without ladders is tried once

    def _climbed(self, best: dict[str, float], ladder: Ladder, kind: int | None) -> dict[str, float]:
        for direction in (-1, 1):
            at, moved = ladder.values.index(best[ladder.name]) + direction, False
            while 0 <= at < len(ladder.values):
                candidate = {**best, ladder.name: ladder.values[at]}
                if self.quality(candidate, kind) <= self.quality(best, kind):
                    break
                best, at, moved = candidate, at + direction, True
            if moved:
                break
        return best


def tuned(recipe: Recipe, data: TrainingData, judge: Judge, quick: bool) -> list[Tried]:
    """The recommender fitted to `data` with the constants that serve the judge's users best, all kinds of questions
    together first; then, unless `quick`, those that serve each kind best, to be blended.
    """
    kinds: list[int | None] = [None, *(judge.kinds if len(judge.kinds) > 1 and not quick else [])]
    search = _Search(recipe, data, judge, kinds)
    for kind in kinds:
        search.climb(kind, 1 if quick else _PASSES)
    chosen: list[Tried] = []
    for _, tried in search.best.values():
        if all(tried.constants != other.constants for other in chosen):
            chosen.append(tried)
    return chosen
