"""Measures all recommenders, and the one that training would choose, on a split that training does not see."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np

from models.data.interactions import Interactions
from models.evaluation.intervals import interval
from models.evaluation.splits import SplitName, split
from models.recommend.interface import TrainingData
from models.recommend.judge import Judge
from models.recommend.selection import Part, Selection
from models.recommend.training import Prepared, choose, prepared
from models.training import Progress, Recommending, Shop
from standfast.core.errors import DataError

_MOST_USERS = 10_000
_LEAST_USERS = 20


class Figures(msgspec.Struct, frozen=True):
    """One recommender's means over users, of the full ranking: nDCG@10 with its 95 % interval, HR@10 and recall@20."""

    recommender: str
    ndcg_10: float
    ndcg_low: float
    ndcg_high: float
    hit_10: float
    recall_20: float
    constants: str


class Evaluation(msgspec.Struct, frozen=True):
    """The figures of all recommenders on one split; `chosen` is what training would publish."""

    split: str
    seed: int
    users: int
    chosen: str
    rows: list[Figures]


def evaluate(shop: Shop, name: SplitName, wish: Recommending, progress: Progress, device: str = "auto") -> Evaluation:
    """The figures on the split `name`. What is chosen, and its constants, come from its training part, split once more.

    Raises DataError when there are too few events.
    """
    if shop.events is None:
        raise DataError("the shop in use has no interactions; load some with `standfast interactions load FILE`")
    parts = split(shop.events, name, wish.seed)
    past = prepared(shop.catalogue, shop.vectors, parts.train(shop.events), device, wish.seed)
    return evaluated(past, list(parts.tests(shop.events).values()), name, wish, progress)


def evaluated(
    past: Prepared, asked: list[Interactions], name: str, wish: Recommending, progress: Progress
) -> Evaluation:
    """The figures of recommenders that are chosen and trained by `past`, for what its users met in `asked`."""
    judge = past.judged(past.events, asked, _MOST_USERS)
    if len(judge) < _LEAST_USERS:
        raise DataError(f"the split {name!r} leaves {len(judge)} users to predict; it must leave {_LEAST_USERS}")
    selection, choice = choose(past, wish, progress)
    progress.phase("fitting all to the training part")
    contestants = {part.recommender: [part] for part in [*selection.tuned, *selection.baselines]}
    contestants[choice.serves], data = selection.parts, past.data(past.events, progress)
    rows = [_figures(key, past, data, judge, replace(selection, parts=parts)) for key, parts in contestants.items()]
    return Evaluation(name, wish.seed, len(judge), choice.serves, sorted(rows, key=lambda row: row.ndcg_10))


def _figures(name: str, past: Prepared, data: TrainingData, judge: Judge, selection: Selection) -> Figures:
    rankings = judge.rankings(judge.scores(past.fitted(selection, data).scorer(past.device)), 20)
    ndcg, recall = judge.ndcg_of(rankings), judge.recall_of(rankings)
    low, high = interval(ndcg)
    hits = float((judge.recall_of(rankings[:, :10]) > 0).mean())
    return Figures(
        name, float(ndcg.mean()), low, high, hits, float(np.mean(recall)), "; ".join(map(_text, selection.parts))
    )


def _text(part: Part) -> str:
    constants = ", ".join(f"{name} {value:g}" for name, value in part.constants.items())
    return f"{part.weight:g} {part.recommender}({constants})"
