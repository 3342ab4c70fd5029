"""Trains a recommendation model: chooses what serves, compares it with baselines, fits it to all events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.attributes.columns import build_attributes
from models.data.catalogue import Catalogue
from models.data.interactions import Interactions
from models.encoder.model import torch_device
from models.evaluation.splits import Split, SplitName, split
from models.recommend.algorithms.popularity import prior
from models.recommend.histories import histories_of, pairs_of
from models.recommend.interface import TrainingData
from models.recommend.judge import Judge
from models.recommend.model import SCORED, Fitted, RecommendConfig, save_recommender
from models.recommend.selection import Part, Selection, ValidationRow, select, untuned
from models.recommend.table import TABLE
from models.training import MetricsAndLineage, Options, Progress, Recommending, Shop
from standfast.core.errors import ModelError

CHOICE = "choice.json"
_MOST_USERS, _QUICK_USERS = 2_000, 600  # whose answers are judged: bound the time of a validation
_LEAST_USERS = 20  # fewer say nothing
_TIME_USERS = 300  # users to predict that a split by time must leave to be used


class Choice(msgspec.Struct, frozen=True):
    """A version's `choice.json`: what was tried, and how the chosen one and the baselines did.

    `validation` has the nDCG@10 by which was chosen, `test` that of users by whom nothing was chosen.
    """

    serves: str
    split: str
    validation: list[ValidationRow]
    test: dict[str, float]
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A catalogue with the products that most customers met first, their vectors, and the events."""

    catalogue: Catalogue
    order: NDArray[np.int64]
    vectors: Tensor
    events: Interactions
    item_rows: NDArray[np.int64]
    device: torch.device
    seed: int

    @property
    def ids(self) -> list[str]:
        """The products' ids in this order."""
        return [self.catalogue.item_ids[row] for row in self.order]

    def data(self, events: Interactions) -> TrainingData:
        """The training data of these events."""
        return TrainingData(events, self.item_rows, len(self.order), self.vectors, self.device, self.seed)

    def judge(self, parts: Split, most: int) -> Judge:
        """Judges by what users met after the split, or what was drawn."""
        return self.judged(parts.train(self.events), list(parts.tests(self.events).values()), most)

    def judged(self, before: Interactions, asked: Sequence[Interactions], most: int) -> Judge:
        """Judges by what the users of `before` met first in each of `asked`."""
        past, *later = (
            pairs_of(each, _item_rows(self.ids, each), len(self.order), 0, None) for each in (before, *asked)
        )
        return Judge.of(past, later, most, SCORED)

    def fitted(self, chosen: Selection, events: Interactions) -> Fitted:
        """The chosen recommenders, fitted to these events."""
        data = self.data(events)
        titles = [self.catalogue.titles[row] for row in self.order]
        config = RecommendConfig(self.ids, titles, chosen.parts)
        arrays = [TABLE[part.recommender].fit(data, part.constants) for part in chosen.parts]
        histories = histories_of(events.users, data.pairs())
        return Fitted(config, arrays, prior(data, chosen.prior_days), histories)


def prepared(
    catalogue: Catalogue, vectors: Tensor, events: Interactions, device: str = "auto", seed: int = 0
) -> Prepared:
    """The data in the order in which models keep them. `vectors` [len(catalogue), width] are in the catalogue's."""
    pairs = pairs_of(events, _item_rows(catalogue.item_ids, events), len(catalogue), 0, None)
    order = np.argsort(-np.bincount(pairs.item, minlength=len(catalogue)), kind="stable")
    rows = _item_rows([catalogue.item_ids[row] for row in order], events)
    return Prepared(catalogue, order, vectors[torch.from_numpy(order)], events, rows, torch_device(device), seed)


def fit(catalogue: Catalogue, vectors: Tensor, events: Interactions | None, parts: list[Part] | None = None) -> Fitted:
    """A model fitted to all `events` with these parts, or with those of a shop whose data are too few to choose by."""
    if events is None:
        return _without_events(catalogue, vectors)
    ready = prepared(catalogue, vectors, events)
    chosen = Selection(parts, []) if parts else untuned(ready.data(events), None)
    return ready.fitted(chosen, events)


def _without_events(catalogue: Catalogue, vectors: Tensor) -> Fitted:
    """Recommends by texts alone."""
    at, nobody = np.empty(0, np.int64), np.empty(0, np.int32)
    nothing = Interactions([], [], nobody, nobody, at, np.empty(0, np.float32), "none")
    content = Selection([Part("content", 1.0, TABLE["content"].start)], [])
    return prepared(catalogue, vectors, nothing).fitted(content, nothing)


def _item_rows(item_ids: list[str], events: Interactions) -> NDArray[np.int64]:
    rows = {item_id: row for row, item_id in enumerate(item_ids)}
    return np.fromiter((rows.get(item, -1) for item in events.items), np.int64, len(events.items))


def choose(ready: Prepared, wish: Recommending, progress: Progress) -> tuple[Selection, Choice]:
    """What serves: chosen by three quarters of the users of a split, then compared with the baselines by the others.

    A choice that a baseline beats there is refused, unless `wish.force`: the best baseline is returned instead.
    """
    events, name = ready.events, wish.split or "mixed"
    parts = split(events, name, wish.seed, _following(ready))
    before = parts.train(events)
    judge, test = ready.judge(parts, _QUICK_USERS if wish.quick else _MOST_USERS).divided()
    if wish.model in TABLE and (reason := TABLE[wish.model].too_large(ready.data(before))):
        raise ModelError(f"{wish.model} cannot be trained from this shop: {reason}; choose another --model")
    if len(test) < _LEAST_USERS:
        chosen = untuned(ready.data(events), wish.model)
        return chosen, Choice(chosen.name, name, chosen.rows, {})
    chosen = select(ready.data(before), judge, wish.model, wish.quick, progress.phase)
    progress.phase("comparing with the baselines")
    figures = _compared(ready, chosen, before, test)
    best = max(chosen.baselines, key=lambda baseline: figures[f"{baseline.recommender}_ndcg_10"])
    if wish.force or figures["ndcg_10"] >= figures[f"{best.recommender}_ndcg_10"]:
        return chosen, Choice(chosen.name, name, chosen.rows, figures)
    baseline = replace(chosen, parts=[best])
    figures |= {key: figures[f"{best.recommender}_{key}"] for key in ("ndcg_10", "recall_20")}
    return baseline, Choice(baseline.name, name, chosen.rows, figures, refused=chosen.name)


def _compared(ready: Prepared, chosen: Selection, before: Interactions, test: Judge) -> dict[str, float]:
    """Mean nDCG@10 and recall@20 of the chosen one and, with its name before the figure's, of each baseline."""
    figures = {"evaluated_users": float(len(test))}
    contestants = {"": chosen} | {f"{part.recommender}_": replace(chosen, parts=[part]) for part in chosen.baselines}
    for prefix, contestant in contestants.items():
        rankings = test.rankings(test.scores(ready.fitted(contestant, before).scorer(ready.device)), 20)
        figures[f"{prefix}ndcg_10"] = round(float(test.ndcg_of(rankings).mean()), 4)
        figures[f"{prefix}recall_20"] = round(float(test.recall_of(rankings).mean()), 4)
    return figures


def _following(ready: Prepared) -> SplitName:
    """By time, as a shop serves, where that leaves enough users to predict; else the last products of every user."""
    return "time" if len(ready.judge(split(ready.events, "time"), _TIME_USERS)) >= _TIME_USERS else "last"


def train(shop: Shop, folder: Path, progress: Progress, options: Options) -> MetricsAndLineage:
    """Writes a recommendation model into the folder; its metrics and lineage."""
    wish, events = options.recommending, shop.events
    metrics = {"items": float(len(shop.catalogue))}
    if events is None:
        fitted, choice = _without_events(shop.catalogue, shop.vectors), Choice("content", "none", [], {})
    else:
        ready = prepared(shop.catalogue, shop.vectors, events, options.device, wish.seed)
        chosen, choice = choose(ready, wish, progress)
        progress.phase(f"fitting {chosen.name} to all events")
        fitted = ready.fitted(chosen, events)
        metrics |= {"items_with_history": float(ready.data(events).items_met), "events": float(len(events))}
        metrics |= {"users": float(len(events.users)), "events_matched": float(events.about(shop.catalogue.item_ids))}
    save_recommender(fitted, folder)
    build_attributes(shop.catalogue.described(fitted.config.item_ids), folder)
    (folder / CHOICE).write_bytes(msgspec.json.encode(choice))
    lineage = shop.lineage(
        interactions_sha256=events.digest if events else "none",
        serves=choice.serves,
        refused=choice.refused or "none",
        split=choice.split,
        seed=str(wish.seed),
        parts=msgspec.json.encode(fitted.config.parts).decode(),
    )
    return metrics | choice.test, lineage
