"""From a shop's products and events to a recommendation model, and how good it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.catalogue import Catalogue
from models.data.interactions import Interactions
from models.encoder.model import torch_device
from models.evaluation.metrics import mean_metrics
from models.recommend.ease import fit_ease
from models.recommend.histories import Pairs, TrainedHistories, histories_of, now_of, pairs_of
from models.recommend.model import Parameters, RecommendConfig, Recommender, save_recommender
from models.recommend.pca import reduce_dimensions
from models.training import MetricsAndLineage, Options, Progress, Shop

_TRAINED_ON = 0.8
_MOST_USERS = 2_000
_BATCH = 64
_FEWEST_EVENTS = 100


class Fitted:
    """The parts of a recommendation model, in the order of `config.item_ids`."""

    def __init__(
        self, config: RecommendConfig, arrays: tuple[Tensor, Tensor, Tensor], histories: TrainedHistories
    ) -> None:
        self.config, self.arrays, self.histories = config, arrays, histories

    def model(self, label: str) -> Recommender:
        """The same, ready to answer; used to measure it as it will serve."""
        return Recommender(label, self.config, self.arrays, self.histories)


def fit(
    catalogue: Catalogue,
    vectors: Tensor,
    events: Interactions | None,
    parameters: Parameters | None = None,
    device: str = "auto",
) -> Fitted:
    """Fits on all `events`; without any, only the texts speak. `vectors` are in the catalogue's order."""
    use = parameters or Parameters()
    order, known = _order(catalogue, events, use.max_items)
    config = RecommendConfig([catalogue.item_ids[p] for p in order], [catalogue.titles[p] for p in order], use)
    nothing = TrainedHistories(np.empty(0, np.int64), np.zeros(1, np.int64), np.empty(0, np.int32))
    texts = reduce_dimensions(vectors, use.content_width)[torch.from_numpy(order)]
    parts = (torch.zeros(0, 0), texts, torch.zeros(len(order)))
    if events is None or not known:
        return Fitted(config, parts, nothing)
    places = _places(config.item_ids, events)
    now = now_of(events)
    pairs = pairs_of(events, places, len(order), now, use.fade_days)
    ease = fit_ease(_head(pairs, known).matrix(), use.regularisation, torch_device(device))
    arrays = (ease, parts[1], _trend(pairs_of(events, places, len(order), now, use.trend_days)))
    return Fitted(config, arrays, histories_of(events.users, pairs))


def evaluate(
    catalogue: Catalogue,
    vectors: Tensor,
    events: Interactions,
    parameters: Parameters | None = None,
    done: Callable[[int], None] | None = None,
) -> dict[str, float]:
    """Quality in time order: fitted before the 80 % time quantile, asked for what users first met after it.

    Full ranking over the catalogue, products seen before left out; beside it popularity (all sales, and the
    last week's trend) and a first-order Markov chain. Empty when there is too little to tell.
    """
    cut = int(np.quantile(events.at, _TRAINED_ON)) if len(events) else 0
    before, after = _part(events, events.at < cut), _part(events, events.at >= cut)
    if min(len(before), len(after)) < _FEWEST_EVENTS:
        return {}
    fitted = fit(catalogue, vectors, before, parameters)
    model, count = fitted.model("evaluated"), len(fitted.config.item_ids)
    places = _places(fitted.config.item_ids, before)
    past = pairs_of(before, places, count, cut, None)
    asked = _asked(past, pairs_of(after, places, count, cut, None))
    if not asked:
        return {}
    popular = torch.from_numpy(np.bincount(past.item, minlength=count).astype(np.float32))
    chain = _Chain(past, popular)
    rankings: dict[str, list[list[int]]] = {"": [], "popularity_": [], "trend_": [], "markov_": []}
    for first in range(0, len(asked), _BATCH):
        seen = [row for row, _ in asked[first : first + _BATCH]]
        scores = {
            "": model.scores(seen),
            "popularity_": popular.repeat(len(seen), 1),
            "trend_": fitted.arrays[2].repeat(len(seen), 1),
            "markov_": torch.stack([chain.after(row[0]) for row in seen]),
        }
        for name, table in scores.items():
            rankings[name].extend(_ranked(table, seen))
        if done:
            done(len(seen))
    wanted = [new for _, new in asked]
    figures = {"evaluated_users": float(len(asked))}
    for name, lists in rankings.items():
        figures |= mean_metrics(lists, wanted, name)
    return figures


class _Chain:
    """First-order Markov: what users met next after a product, popularity breaking ties."""

    def __init__(self, past: Pairs, popular: Tensor) -> None:
        same = past.user[1:] == past.user[:-1]
        order = np.argsort(past.item[:-1][same], kind="stable")
        self._from = past.item[:-1][same][order]
        self._next = past.item[1:][same][order]
        self._ties = popular / (popular.max() + 1)

    def after(self, item: int) -> Tensor:
        begin, end = np.searchsorted(self._from, [item, item + 1])
        counts = np.bincount(self._next[begin:end], minlength=len(self._ties))
        return torch.from_numpy(counts.astype(np.float32)) + self._ties


def _order(catalogue: Catalogue, events: Interactions | None, most: int) -> tuple[NDArray[np.int64], int]:
    """Rows of the catalogue, those that most customers met first, and how many of them EASE shall know."""
    if events is None:
        return np.arange(len(catalogue)), 0
    pairs = pairs_of(events, _places(catalogue.item_ids, events), len(catalogue), now_of(events), None)
    counts = np.bincount(pairs.item, minlength=len(catalogue))
    return np.argsort(-counts, kind="stable"), min(most, int((counts > 0).sum()))


def _places(item_ids: list[str], events: Interactions) -> NDArray[np.int64]:
    rows = {item_id: row for row, item_id in enumerate(item_ids)}
    return np.fromiter((rows.get(item, -1) for item in events.items), np.int64, len(events.items))


def _head(pairs: Pairs, items: int) -> Pairs:
    kept = pairs.item < items
    return replace(
        pairs,
        user=pairs.user[kept],
        item=pairs.item[kept],
        at=pairs.at[kept],
        weight=pairs.weight[kept],
        items=items,
    )


def _trend(pairs: Pairs) -> Tensor:
    """[items] in [0, 1]: customers, each once a product, by the weight that is left of their interest."""
    sums = np.bincount(pairs.item, weights=pairs.weight, minlength=pairs.items)
    return torch.from_numpy((sums / max(sums.max(), 1e-9)).astype(np.float32))


def _part(events: Interactions, kept: NDArray[np.bool_]) -> Interactions:
    return replace(
        events, user=events.user[kept], item=events.item[kept], at=events.at[kept], weight=events.weight[kept]
    )


def _asked(past: Pairs, later: Pairs) -> list[tuple[list[int], set[int]]]:
    """For each evaluated user: what he had met, latest first, and what he met for the first time later."""
    asked = []
    for user in np.unique(later.user):
        begin, end = np.searchsorted(past.user, [user, user + 1])
        seen = past.item[begin:end][::-1].tolist()
        first, last = np.searchsorted(later.user, [user, user + 1])
        new = set(later.item[first:last].tolist()) - set(seen)
        if seen and new:
            asked.append((seen, new))
    step = max(1, -(-len(asked) // _MOST_USERS))
    return asked[::step]


def _ranked(scores: Tensor, seen: list[list[int]]) -> list[list[int]]:
    for row, places in enumerate(seen):
        scores[row, places] = -torch.inf
    ranked: list[list[int]] = scores.topk(min(20, scores.shape[1]), dim=1).indices.tolist()
    return ranked


def train(shop: Shop, folder: Path, progress: Progress, options: Options) -> MetricsAndLineage:
    """Fits a recommender into the folder."""
    use, events = Parameters(), shop.events
    progress.phase("fitting EASE")
    fitted = fit(shop.catalogue, shop.vectors, events, use, options.device)
    save_recommender(fitted.config, fitted.arrays, fitted.histories, folder)
    metrics = {"items": float(len(shop.catalogue)), "items_with_history": float(len(fitted.arrays[0]))}
    if events is not None:
        progress.phase("measuring on later purchases")
        metrics |= {"events": float(len(events)), "users": float(len(events.users))}
        metrics |= {"events_matched": float(events.about(shop.catalogue.item_ids))}
        metrics |= evaluate(shop.catalogue, shop.vectors, events, use, progress.step)
    lineage = shop.lineage(
        interactions_sha256=events.digest if events else "none",
        parameters=msgspec.json.encode(use).decode(),
    )
    return metrics, lineage
