"""Quality of the recommenders by the protocols of the papers: `python -m bench.recommenders [MOVIELENS-100K]`.

Prints nDCG@10 with 95 % intervals, HR@10 and recall@20 of the full ranking: MovieLens-100k (the folder with its
`u.data.gz` and `u.item.gz`) by the stratified 75/25 split of Microsoft's comparison, by leave-one-out and by time; then
the shop in use by leave-one-out. Constants and blends are chosen by validation inside the training part; the test part
is read once. The data set may not be redistributed, so it is no part of the project. `--split one --model sasrec
--seed 42 --seed 43` measures one split alone, one recommender beside the baselines, and how much seeds change.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data.catalogue import Catalogue
from models.data.interactions import Interactions
from models.encoder.model import load_encoder
from models.encoder.vectors import encode_cached
from models.evaluation.splits import SplitName, selected, split
from models.recommend.evaluation import Evaluation, evaluate, evaluated
from models.recommend.table import BLEND, TABLE
from models.recommend.training import prepared
from models.training import NoProgress, Recommending, open_shop
from standfast.commands.recommenders import print_evaluation

_SEED = 42  # of the stratified split, and of training unless others are named
_TIMED: tuple[SplitName, ...] = ("one", "time")


def _movielens(folder: Path) -> tuple[Catalogue, Interactions, NDArray[np.bool_]]:
    """The films, the ratings in the order of time, and which of them are in the test part of the stratified split."""
    rows = np.loadtxt(folder / "u.data.gz", np.int64)
    film, drawn, draw = rows[:, 1] - 1, np.zeros(len(rows), bool), np.random.default_rng(_SEED)
    for item in range(film.max() + 1):
        shuffled = draw.permutation(np.flatnonzero(film == item))
        drawn[shuffled[round(0.75 * len(shuffled)) :]] = True
    lines = gzip.decompress((folder / "u.item.gz").read_bytes()).decode("latin-1").splitlines()
    titles, ids = [line.split("|")[1] for line in lines], [line.split("|")[0] for line in lines]
    order = np.argsort(rows[:, 3], kind="stable")
    user, item, rating, at = (column[order] for column in rows.T)
    users = [str(number) for number in range(1, user.max() + 1)]
    weight = (rating / 5).astype(np.float32)
    events = Interactions(
        users, ids, (user - 1).astype(np.int32), (item - 1).astype(np.int32), at * 1000, weight, "movielens-100k"
    )
    return Catalogue(ids, titles, [""] * len(ids), "movielens-100k"), events, drawn[order]


def _of_movielens(wish: argparse.Namespace, seed: int) -> Iterator[tuple[str, Evaluation]]:
    films, events, drawn = _movielens(wish.folder)
    encoder = load_encoder("bundled", exact=True)
    vectors = encode_cached(encoder, films.texts)
    parts: dict[SplitName, tuple[Interactions, Interactions]] = {
        "random": (selected(events, ~drawn), selected(events, drawn))
    }
    for name in _TIMED:
        timed = split(events, name)
        parts[name] = (timed.train(events), timed.tests(events)["next"])
    for name in wish.split or parts:
        train, test = parts[name]
        past = prepared(films, vectors, train, seed=seed)
        for chosen_by in (name,) if wish.split else (name, "mixed"):
            recommending = Recommending(wish.model, split=chosen_by, seed=seed)
            title = f"MovieLens-100k, {name}, chosen by {chosen_by}"
            yield title, evaluated(past, [test], name, recommending, NoProgress())


def _of_seeds(tables: Sequence[Evaluation]) -> Iterator[str]:
    """What each recommender has on average, and its least and most, over the seeds of one split."""
    for name in dict.fromkeys(row.recommender for table in tables for row in table.rows):
        rows = [row for table in tables for row in table.rows if row.recommender == name]
        ndcg, hits = ([getattr(row, figure) for row in rows] for figure in ("ndcg_10", "hit_10"))
        yield (
            f"{name:12} nDCG@10 {np.mean(ndcg):.4f} ({min(ndcg):.4f}-{max(ndcg):.4f}), "
            f"HR@10 {np.mean(hits):.4f} ({min(hits):.4f}-{max(hits):.4f}), {len(rows)} seeds"
        )


def _wish(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.recommenders")
    parser.add_argument("folder", nargs="?", type=Path, help="MovieLens-100k's")
    parser.add_argument("--split", action="append", choices=["random", *_TIMED], help="this one alone")
    parser.add_argument("--model", choices=[*TABLE, BLEND], help="this one beside the baselines")
    parser.add_argument("--seed", action="append", type=int, help=f"{_SEED} if left out")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Prints the tables, the shop in use last unless a split was named."""
    wish, tables = _wish(arguments), dict[str, list[Evaluation]]()
    for seed in (wish.seed or [_SEED]) if wish.folder else ():
        for title, figures in _of_movielens(wish, seed):
            print(f"\n{title}", flush=True)
            print_evaluation(figures)
            tables.setdefault(title, []).append(figures)
    for title, figures_of_seeds in tables.items():
        if len(figures_of_seeds) > 1:
            print(f"\n{title}, over seeds", *_of_seeds(figures_of_seeds), sep="\n", flush=True)
    if not wish.split:
        shop = open_shop(NoProgress())
        print("\nthe shop in use, leave-one-out in time", flush=True)
        recommending = Recommending(wish.model, split="one", seed=_SEED)
        print_evaluation(evaluate(shop, "one", recommending, NoProgress()))


if __name__ == "__main__":
    main(sys.argv[1:])
