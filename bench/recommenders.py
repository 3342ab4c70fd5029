"""Quality of the recommenders by the protocols of the papers: `python -m bench.recommenders [MOVIELENS-100K]`.

Prints nDCG@10 with 95 % intervals, HR@10 and recall@20 of the full ranking: MovieLens-100k (the folder with its
`u.data.gz` and `u.item.gz`) by the stratified 75/25 split of Microsoft's comparison, by leave-one-out and by time; then
the shop in use by leave-one-out. Constants and blends are chosen by validation inside the training part; the test part
is read once. The data set may not be redistributed, so it is no part of the project.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data.catalogue import Catalogue
from models.data.interactions import Interactions
from models.encoder.model import load_encoder
from models.encoder.vectors import encode_cached
from models.evaluation.splits import SplitName, selected, split
from models.recommend.evaluation import Evaluation, evaluate, evaluated
from models.recommend.training import prepared
from models.training import NoProgress, Recommending, open_shop
from standfast.commands.recommenders import print_evaluation

_SEED = 42
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


def _of_movielens(folder: Path) -> Iterator[tuple[str, Evaluation]]:
    films, events, drawn = _movielens(folder)
    encoder = load_encoder("bundled", exact=True)
    vectors = encode_cached(encoder, films.texts)
    parts: dict[SplitName, tuple[Interactions, Interactions]] = {
        "random": (selected(events, ~drawn), selected(events, drawn))
    }
    for name in _TIMED:
        timed = split(events, name)
        parts[name] = (timed.train(events), timed.tests(events)["next"])
    for name, (train, test) in parts.items():
        past = prepared(films, vectors, train, seed=_SEED)
        for chosen_by in (name, "mixed"):
            wish = Recommending(split=chosen_by, seed=_SEED)
            yield f"MovieLens-100k, {name}, chosen by {chosen_by}", evaluated(past, [test], name, wish, NoProgress())


def main(arguments: list[str]) -> None:
    """Prints the tables, the shop in use last."""
    for title, figures in _of_movielens(Path(arguments[0])) if arguments else ():
        print(f"\n{title}", flush=True)
        print_evaluation(figures)
    shop = open_shop(NoProgress())
    print("\nthe shop in use, leave-one-out in time", flush=True)
    print_evaluation(evaluate(shop, "one", Recommending(split="one", seed=_SEED), NoProgress()))


if __name__ == "__main__":
    main(sys.argv[1:])
