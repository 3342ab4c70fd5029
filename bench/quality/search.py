"""The quality of search, with the settings that a new shop gets: `python -m bench.quality.search`.

Shoppers' searches on the sample shop (`tests/judged`), SciFact and Cranfield; beside the ranking that is served BM25
alone, the encoder alone, and both scaled to 0..1 by their highest and lowest score and added. Encoding the documents of
SciFact takes several minutes the first time; the vectors are cached.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from bench.quality.collections import Collection, cranfield, scifact
from bench.quality.shoppers import judged
from models.base import SearchQuery
from models.data.shop import load_catalogue
from models.encoder.model import Encoder, load_encoder
from models.encoder.vectors import encode_cached
from models.evaluation.metrics import ndcg, recall
from models.search.model import HybridSearch, build_search, load_search

_DEEP = 100


def _row(name: str, rankings: Sequence[Sequence[int]], relevant: Sequence[set[int]]) -> str:
    pairs = list(zip(rankings, relevant, strict=True))
    ndcg_10 = sum(ndcg(ranking, wanted) for ranking, wanted in pairs) / len(pairs)
    recall_100 = sum(recall(ranking, wanted, _DEEP) for ranking, wanted in pairs) / len(pairs)
    return f"| {name} | {ndcg_10:.4f} | {recall_100:.4f} |"


def collection_table(collection: Collection, encoder: Encoder, folder: Path) -> str:
    """nDCG@10 and recall@100 of the ranking served and of its parts."""
    vectors = encode_cached(encoder, collection.catalogue.texts)
    build_search(collection.catalogue, vectors, encoder, folder)
    model = load_search(folder, "search@1", "cpu")
    ranking, queries = model._ranking, [SearchQuery(text, _DEEP) for text in collection.queries]  # noqa: SLF001
    index_of = {item_id: index for index, item_id in enumerate(collection.catalogue.item_ids)}
    served = [[index_of[item.item_id] for item in items] for items in model.predict(queries)]
    readings = [ranking.read(text) for text in collection.queries]
    words = torch.from_numpy(ranking.lexical.scores(readings))
    meaning = encoder.encode(collection.queries).cpu() @ vectors.T
    parts = {"BM25": words, "encoder": meaning, "both, equally": _scaled(words) + _scaled(meaning)}
    lines = [_row("served", served, collection.relevant)]
    lines += [
        _row(name, scores.topk(_DEEP, dim=1).indices.tolist(), collection.relevant) for name, scores in parts.items()
    ]
    return "\n".join([f"\n{collection.name}, {len(queries)} queries", "", _HEAD, *lines])


_HEAD = "| ranking | nDCG@10 | recall@100 |\n| --- | ---: | ---: |"


def _scaled(scores: Tensor) -> Tensor:
    low, high = scores.amin(dim=1, keepdim=True), scores.amax(dim=1, keepdim=True)
    return (scores - low) / (high - low).clamp(min=1e-6)


def shoppers_table(model: HybridSearch) -> str:
    """By kind of search: how many have a wanted product among the first three, and how many of five are wanted."""
    groups: dict[str, list[tuple[bool, float]]] = {}
    for search in judged():
        ids = [item.item_id for item in model.predict([SearchQuery(search.text, 5)])[0]]
        in_first_three = bool(search.wanted.intersection(ids[:3]))
        share = len(search.wanted.intersection(ids)) / min(5, len(search.wanted))
        for group in (search.name[:-3], "all", "unseen" if search.unseen else "seen"):
            groups.setdefault(group, []).append((in_first_three, share))
    lines = [
        f"| {group} | {len(rows)} | {sum(in_first_three for in_first_three, _ in rows) / len(rows):.3f} "
        f"| {sum(share for _, share in rows) / len(rows):.3f} |"
        for group, rows in groups.items()
    ]
    head = "| searches | | wanted in the first 3 | of the first 5 wanted |\n| --- | ---: | ---: | ---: |"
    return "\n".join(["\nShoppers' searches on the sample shop", "", head, *lines, "", _cost(model)])


def _cost(model: HybridSearch) -> str:
    """Processor time of the parts of a search, in a median of all judged searches."""
    texts, ranking = [search.text for search in judged()], model._ranking  # noqa: SLF001
    steps: dict[str, list[float]] = {"read": [], "encode": [], "rank": []}
    with torch.inference_mode():
        for text in texts:
            began = time.thread_time()
            reading = ranking.read(text)
            read = time.thread_time()
            vectors = model._encoder.encode([reading.text])  # noqa: SLF001
            encoded = time.thread_time()
            ranking.best([reading], vectors, 10)
            for step, seconds in zip(steps, (read - began, encoded - read, time.thread_time() - encoded), strict=True):
                steps[step].append(seconds)
    return "microseconds alone: " + ", ".join(
        f"{step} {sorted(seconds)[len(seconds) // 2] * 1e6:.0f}" for step, seconds in steps.items()
    )


def main() -> None:
    """Prints the tables, one after the other."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--only", choices=["shoppers", "cranfield", "scifact"], help="one of the tables")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    encoder = load_encoder("bundled", "cpu", exact=True)
    with tempfile.TemporaryDirectory(prefix="standfast-bench-") as folder:
        if only in {None, "shoppers"}:
            shop = load_catalogue()
            build_search(shop, encode_cached(encoder, shop.texts), encoder, Path(folder, "shop"))
            print(shoppers_table(load_search(Path(folder, "shop"), "search@1", "cpu")), flush=True)
        if only in {None, "cranfield"}:
            print(collection_table(cranfield(), encoder, Path(folder, "cranfield")), flush=True)
        if only in {None, "scifact"}:
            print(collection_table(scifact("test"), encoder, Path(folder, "scifact")), flush=True)


if __name__ == "__main__":
    main()
