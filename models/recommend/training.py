"""Fits a recommendation model to a shop's products and events, and evaluates it."""

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

_TRAINED_ON = 0.8  # time quantile of the events that split training from test events
_MAX_USERS = 2_000  # bounds the time of an evaluation
_BATCH = 64  # users scored at once, as many as a model scores
_MIN_EVENTS = 100  # before the split and after it; with fewer, nothing is evaluated


class Fitted:
    """The parts of a recommendation model, in the order of `config.item_ids`."""

    def __init__(
        self, config: RecommendConfig, arrays: tuple[Tensor, Tensor, Tensor], histories: TrainedHistories
    ) -> None:
        self.config, self.arrays, self.histories = config, arrays, histories

    def model(self, label: str) -> Recommender:
        """The model as it will serve, for evaluation."""
        return Recommender(label, self.config, self.arrays, self.histories)


def fit(
    catalogue: Catalogue,
    vectors: Tensor,
    events: Interactions | None,
    parameters: Parameters | None = None,
    device: str = "auto",
) -> Fitted:
    """A model fitted to all `events`; without events it recommends by texts alone.

    `vectors` [len(catalogue), width] are in the catalogue's order.
    """
    parameters = parameters or Parameters()
    order, known = _order(catalogue, events, parameters.max_items)
    config = RecommendConfig(
        [catalogue.item_ids[row] for row in order], [catalogue.titles[row] for row in order], parameters
    )
    no_histories = TrainedHistories(np.empty(0, np.int64), np.zeros(1, np.int64), np.empty(0, np.int32))
    texts = reduce_dimensions(vectors, parameters.content_width)[torch.from_numpy(order)]
    arrays = (torch.zeros(0, 0), texts, torch.zeros(len(order)))
    if events is None or not known:
        return Fitted(config, arrays, no_histories)
    item_rows = _item_rows(config.item_ids, events)
    now = now_of(events)
    pairs = pairs_of(events, item_rows, len(order), now, parameters.fade_days)
    ease = fit_ease(_first_items(pairs, known).matrix(), parameters.regularisation, torch_device(device))
    arrays = (ease, arrays[1], _trend(pairs_of(events, item_rows, len(order), now, parameters.trend_days)))
    return Fitted(config, arrays, histories_of(events.users, pairs))


def evaluate(
    catalogue: Catalogue,
    vectors: Tensor,
    events: Interactions,
    parameters: Parameters | None = None,
    done: Callable[[int], None] | None = None,
) -> dict[str, float]:
    """Quality on a temporal split: fitted to events before the 80 % time quantile, tested on users' later products.

    nDCG@10 and recall@20 of the full ranking of the catalogue without products seen before, and the same of three
    baselines: popularity (all sales), the last week's trend, and a first-order Markov chain. Empty with too few events.
    """
    cut = int(np.quantile(events.at, _TRAINED_ON)) if len(events) else 0
    before, after = _select(events, events.at < cut), _select(events, events.at >= cut)
    if min(len(before), len(after)) < _MIN_EVENTS:
        return {}
    fitted = fit(catalogue, vectors, before, parameters)
    model, count = fitted.model("evaluated"), len(fitted.config.item_ids)
    item_rows = _item_rows(fitted.config.item_ids, before)
    past = pairs_of(before, item_rows, count, cut, None)
    test_users = _test_users(past, pairs_of(after, item_rows, count, cut, None))
    if not test_users:
        return {}
    popular = torch.from_numpy(np.bincount(past.item, minlength=count).astype(np.float32))
    chain = _MarkovChain(past, popular)
    rankings: dict[str, list[list[int]]] = {"": [], "popularity_": [], "trend_": [], "markov_": []}
    for first in range(0, len(test_users), _BATCH):
        seen = [row for row, _ in test_users[first : first + _BATCH]]
        scores = {
            "": model.scores(seen),
            "popularity_": popular.repeat(len(seen), 1),
            "trend_": fitted.arrays[2].repeat(len(seen), 1),
            "markov_": torch.stack([chain.after(row[0]) for row in seen]),
        }
        for name, table in scores.items():
            rankings[name].extend(_top_20(table, seen))
        if done:
            done(len(seen))
    new_items = [new for _, new in test_users]
    figures = {"evaluated_users": float(len(test_users))}
    for name, lists in rankings.items():
        figures |= mean_metrics(lists, new_items, name)
    return figures


class _MarkovChain:
    """First-order Markov chain: counts of the products that users met next after one; ties are ranked by popularity."""

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


def _order(catalogue: Catalogue, events: Interactions | None, max_items: int) -> tuple[NDArray[np.int64], int]:
    """Rows of the catalogue, products that most users met first, and how many of them EASE covers."""
    if events is None:
        return np.arange(len(catalogue)), 0
    pairs = pairs_of(events, _item_rows(catalogue.item_ids, events), len(catalogue), now_of(events), None)
    counts = np.bincount(pairs.item, minlength=len(catalogue))
    return np.argsort(-counts, kind="stable"), min(max_items, int((counts > 0).sum()))


def _item_rows(item_ids: list[str], events: Interactions) -> NDArray[np.int64]:
    rows = {item_id: row for row, item_id in enumerate(item_ids)}
    return np.fromiter((rows.get(item, -1) for item in events.items), np.int64, len(events.items))


def _first_items(pairs: Pairs, items: int) -> Pairs:
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
    """[items] in [0, 1]: for each product the sum of its users' weights, relative to the highest."""
    sums = np.bincount(pairs.item, weights=pairs.weight, minlength=pairs.items)
    return torch.from_numpy((sums / max(sums.max(), 1e-9)).astype(np.float32))


def _select(events: Interactions, kept: NDArray[np.bool_]) -> Interactions:
    return replace(
        events, user=events.user[kept], item=events.item[kept], at=events.at[kept], weight=events.weight[kept]
    )


def _test_users(past: Pairs, later: Pairs) -> list[tuple[list[int], set[int]]]:
    """For each test user: products met before the split, latest first, and products met first after it."""
    test_users = []
    for user in np.unique(later.user):
        begin, end = np.searchsorted(past.user, [user, user + 1])
        seen = past.item[begin:end][::-1].tolist()
        first, last = np.searchsorted(later.user, [user, user + 1])
        new = set(later.item[first:last].tolist()) - set(seen)
        if seen and new:
            test_users.append((seen, new))
    step = max(1, -(-len(test_users) // _MAX_USERS))
    return test_users[::step]


def _top_20(scores: Tensor, seen: list[list[int]]) -> list[list[int]]:
    for row, item_rows in enumerate(seen):
        scores[row, item_rows] = -torch.inf
    ranked: list[list[int]] = scores.topk(min(20, scores.shape[1]), dim=1).indices.tolist()
    return ranked


def train(shop: Shop, folder: Path, progress: Progress, options: Options) -> MetricsAndLineage:
    """Writes a recommendation model into the folder; its metrics and lineage."""
    parameters, events = Parameters(), shop.events
    progress.phase("fitting EASE")
    fitted = fit(shop.catalogue, shop.vectors, events, parameters, options.device)
    save_recommender(fitted.config, fitted.arrays, fitted.histories, folder)
    metrics = {"items": float(len(shop.catalogue)), "items_with_history": float(len(fitted.arrays[0]))}
    if events is not None:
        progress.phase("measuring on later purchases")
        metrics |= {"events": float(len(events)), "users": float(len(events.users))}
        metrics |= {"events_matched": float(events.about(shop.catalogue.item_ids))}
        metrics |= evaluate(shop.catalogue, shop.vectors, events, parameters, progress.step)
    lineage = shop.lineage(
        interactions_sha256=events.digest if events else "none",
        parameters=msgspec.json.encode(parameters).decode(),
    )
    return metrics, lineage
