"""Chooses the recommenders that serve, their constants and their weights, on a validation split of the shop's data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import torch
from torch import Tensor

from models.recommend.blend import add_scaled
from models.recommend.interface import Recipe, TrainingData
from models.recommend.judge import Judge
from models.recommend.table import BASELINES, BLEND, TABLE
from models.recommend.tuning import Tried, tuned

_WEIGHTS = (0.1, 0.2, 0.4, 0.8, 1.6)  # of a further recommender, beside 1 for the first
_MOST_PARTS = 4
_WORTH = 1.002  # a further recommender makes every answer slower: it must raise the quality by so much


class Part(msgspec.Struct, frozen=True):
    """One recommender of a blend: its name in the table, its weight, its constants."""

    recommender: str
    weight: float
    constants: dict[str, float]


class ValidationRow(msgspec.Struct, frozen=True):
    """One row of the table that says why a model was chosen. `ndcg_10`: None if it was not tried; `note` says why."""

    recommender: str
    ndcg_10: float | None
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What serves, the baselines it is compared with, and the table of what was tried.

    `prior_days`: the half-life of the prior, 0 for popularity. `tuned`: each recommender with its best constants.
    """

    parts: list[Part]
    baselines: list[Part]
    prior_days: float = 0.0
    tuned: list[Part] = field(default_factory=list)
    rows: list[ValidationRow] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the one recommender, or `blend`."""
        return self.parts[0].recommender if len(self.parts) == 1 else BLEND


def untuned(data: TrainingData, name: str | None) -> Selection:
    """For a shop whose data are too few to choose by: the constants that a search would begin with."""
    weights = {name: 1.0} if name in TABLE else {"ease": 1.0, "content": 0.4, "trend": 0.2}
    parts = [Part(key, weight, TABLE[key].start) for key, weight in weights.items() if not TABLE[key].too_large(data)]
    return Selection(parts, [Part(key, 1.0, TABLE[key].start) for key in BASELINES])


def select(data: TrainingData, judge: Judge, name: str | None, quick: bool, phase: Callable[[str], None]) -> Selection:
    """The best blend or single recommender by nDCG@10 of the judge's users; `name` decides which where it is given."""
    rows, tried = [], []
    for recipe in TABLE.values():
        if name in (None, BLEND, recipe.name) or recipe.name in BASELINES:
            row, outcomes = _try(recipe, data, judge, quick and recipe.name != name, phase)
            rows.append(row)
            tried.append(outcomes)
    best = {outcomes[0].recipe.name: outcomes[0] for outcomes in tried if outcomes}
    prior = max((best["popularity"], best["trend"]), key=lambda outcome: outcome.quality)
    baselines, days = [_part(best[baseline], 1.0) for baseline in BASELINES], prior.constants.get("days", 0.0)
    each = [_part(outcome, 1.0) for outcome in best.values()]
    if name is not None and name in best:
        return Selection([_part(best[name], 1.0)], baselines, days, each, rows)
    phase("learning the weights of a blend")
    weights = _WEIGHTS[1:4] if quick else _WEIGHTS
    parts, quality = _blended([outcome for outcomes in tried for outcome in outcomes], judge, weights)
    if len(parts) > 1:
        rows.append(
            ValidationRow(BLEND, quality, 0.0, " + ".join(f"{part.weight:g} {part.recommender}" for part in parts))
        )
    return Selection(parts, baselines, days, each, rows)


def _try(
    recipe: Recipe, data: TrainingData, judge: Judge, quick: bool, phase: Callable[[str], None]
) -> tuple[ValidationRow, list[Tried]]:
    if reason := recipe.too_large(data):
        return ValidationRow(recipe.name, None, note=reason), []
    if quick and not recipe.quick:
        return ValidationRow(
            recipe.name,
            None,
            note="not tried with --quick or at a first start; `standfast models train recommend` does",
        ), []
    phase(f"trying {recipe.name}")
    outcomes = tuned(recipe, data, judge, quick)
    constants = ", ".join(f"{name} {value:g}" for name, value in outcomes[0].constants.items())
    return ValidationRow(recipe.name, outcomes[0].quality, outcomes[-1].seconds, constants), outcomes


def _part(outcome: Tried, weight: float) -> Part:
    return Part(outcome.recipe.name, weight, outcome.constants)


def _blended(tried: Sequence[Tried], judge: Judge, weights: Sequence[float]) -> tuple[list[Part], float]:
    """The best one, and others as long as each raises the quality: greedy, as Caruana et al. 2004 select ensembles."""
    first = max(range(len(tried)), key=lambda index: tried[index].quality)
    chosen, best, total = {first: 1.0}, tried[first].quality, _added(None, tried[first], 1.0)
    while len(chosen) < _MOST_PARTS:
        candidates = [
            (judge.quality(judge.ndcg(_added(total, outcome, weight))), index, weight)
            for index, outcome in enumerate(tried)
            if index not in chosen
            for weight in weights
        ]
        quality, index, weight = max(candidates, default=(0.0, 0, 0.0))
        if quality < best * _WORTH:
            break
        chosen[index], best, total = weight, quality, _added(total, tried[index], weight)
    return [_part(tried[index], weight) for index, weight in chosen.items()], best


def _added(total: Tensor | None, outcome: Tried, weight: float) -> Tensor:
    base = torch.zeros_like(outcome.scores) if total is None else total.clone()
    return add_scaled(base, outcome.scores, weight)
