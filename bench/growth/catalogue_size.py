"""The cost of search as the catalogue grows: `python -m bench.growth.catalogue_size`.

Each model is measured in a process of its own, on one thread. Milliseconds are processor time, which other processes
raise only through shared caches and memory bandwidth.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor

from bench.growth.large_catalogue import more_titles, more_vectors
from models.base import SearchQuery
from models.data.catalogue import Catalogue
from models.data.shop import load_catalogue
from models.encoder.model import load_encoder
from models.search.model import build_search, load_search
from models.search.recall import queries
from standfast.core.errors import ModelError

_HEAD = """\
| products | compared with | ms alone | ms of 32 | searches/s | recall@10 | by vectors | MB | load s | build s |
| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


@dataclass(frozen=True, slots=True)
class SearchCost:
    """The cost of ranking one query, alone and in a batch of 32; searches/s with the encoder; memory; load time."""

    alone_ms: float
    batched_ms: float
    per_second: float
    megabytes: float
    load_s: float


def measured(folder: Path, titles: list[str]) -> SearchCost:
    """The cost of the model in `folder`; call this in a new process."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    model = load_search(folder, "search@1", "cpu")
    load_s = time.perf_counter() - began
    model.warm_up()
    texts, ranking = queries(titles)[:192], model._ranking  # noqa: SLF001 - the ranking without the encoder
    vectors = model._encoder.encode(texts)  # noqa: SLF001
    readings = [ranking.read(text) for text in texts]

    def ranked(size: int) -> Callable[[int], object]:
        return lambda first: ranking.best(readings[first : first + size], vectors[first : first + size], 10)

    def searched(first: int) -> object:
        return model.predict([SearchQuery(text, 10) for text in texts[first : first + 32]])

    with torch.inference_mode():
        alone, batched, whole = _median(ranked(1), 1), _median(ranked(32), 32), _median(searched, 32)
    return SearchCost(alone * 1e3, batched / 32 * 1e3, 32 / whole, _anonymous_mb(), load_s)


def _median(work: Callable[[int], object], step: int) -> float:
    """The median processor time (s) of one call, over 192 queries, `step` at a time."""
    seconds = []
    for first in range(0, 192, step):
        began = time.thread_time()
        work(first)
        seconds.append(time.thread_time() - began)
    return sorted(seconds)[len(seconds) // 2]


def _anonymous_mb() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1000


def _row(catalogue: Catalogue, vectors: Tensor, exact_up_to: int) -> str:
    with tempfile.TemporaryDirectory(prefix="standfast-bench-") as folder:
        began = time.thread_time()
        try:
            metrics = build_search(catalogue, vectors, load_encoder(), Path(folder), exact_up_to=exact_up_to)
        except ModelError as problem:
            return f"| {len(catalogue):,} | cells | refused: {problem} |"
        built = time.thread_time() - began
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            cost = fresh.submit(measured, Path(folder), catalogue.titles).result()
    read = f"{metrics['probes']:.0f} of {metrics['cells']:.0f} cells" if "cells" in metrics else "all"
    recall = f"{metrics.get('recall_10', 1):.3f} | {metrics.get('recall_10_vectors_alone', 1):.3f}"
    speed = f"{cost.alone_ms:.2f} | {cost.batched_ms:.2f} | {cost.per_second:.0f}"
    return (
        f"| {len(catalogue):,} | {read} | {speed} | {recall} | {cost.megabytes:.0f} | {cost.load_s:.1f} | {built:.0f} |"
    )


def main() -> None:
    """Prints the table, row after row."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--sizes", default="3747,20000,100000,200000,1000000")
    parser.add_argument("--encoded", type=int, default=100_000, help="vectors above are mixed from those below")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    titles = more_titles(load_catalogue().titles, max(sizes))
    encoded = load_encoder().encode(titles[: options.encoded]).to(torch.bfloat16)
    vectors = more_vectors(encoded, len(titles))
    print(_HEAD)
    for size in sizes:
        catalogue = Catalogue([f"P{number}" for number in range(size)], titles[:size], titles[:size], "")
        for exact_up_to in (size, 0) if size >= 100_000 else (size,):
            print(_row(catalogue, vectors[:size], exact_up_to), flush=True)


if __name__ == "__main__":
    main()
