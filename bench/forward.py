"""The models' own time, without Kafka: `python -m bench.forward`. One thread; each round measures all variants.

Times are processor time, which other processes disturb less than wall-clock time. The encoder's baseline is
transformers, which most others serve with.
"""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

import torch

from bench.figures import machine
from bench.peers.computing import query
from bench.requests import RequestMaker
from models.base import Model, RecommendQuery, SearchQuery
from models.encoder.model import Encoder, _AutoBackbone, encoder_folder, load_encoder
from models.loading import load
from schemas.records import SearchRequest

Query = SearchQuery | RecommendQuery
_ROUNDS, _SECONDS = 5, 0.5  # seconds of each variant in a round
_PAUSE_S = 0.005  # between two queries of the variant with pauses
_MIXED, _BATCH, _LONG_SHARE = 320, 32, 0.1


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to do a task: `do` is called with each of `inputs`, which have `queries` queries each."""

    task: str
    name: str
    queries: int
    inputs: Iterator[Any]
    do: Callable[[Any], object]

    def seconds(self) -> float:
        """Seconds per query: the median over half a second of inputs, three at least."""
        durations: list[float] = []
        deadline = time.thread_time() + _SECONDS
        while time.thread_time() < deadline or len(durations) < 3:
            next_input = next(self.inputs)
            began = time.thread_time()
            self.do(next_input)
            durations.append(time.thread_time() - began)
        return statistics.median(durations) / self.queries


def main() -> None:
    """Prints microseconds per query (min, median, max of the rounds) and the ratio to the task's first variant."""
    torch.set_num_threads(1)
    variants = [*_encoders(), *_predictions("search", (1, 32)), *_predictions("recommend", (1, 32, 256)), *_mixed()]
    for variant in variants:
        variant.do(next(variant.inputs))
    rounds = [[variant.seconds() for variant in variants] for _ in range(_ROUNDS)]
    sys.stdout.write(f"{machine()}\n")
    first: dict[str, Sequence[float]] = {}
    for variant, seconds in zip(variants, zip(*rounds, strict=True), strict=True):
        pairs = zip(seconds, first.setdefault(variant.task, seconds), strict=True)
        ratio = statistics.median(this / first_variant for this, first_variant in pairs)
        low, middle, high = (1e6 * value for value in (min(seconds), statistics.median(seconds), max(seconds)))
        sys.stdout.write(f"{variant.task:24}{variant.name:24}{low:8.0f}{middle:8.0f}{high:8.0f} µs  x {ratio:.2f}\n")


def _encoders() -> Iterator[Variant]:
    from transformers import AutoModel

    serving, device = load_encoder(device="cpu"), torch.device("cpu")
    bert = AutoModel.from_pretrained(encoder_folder("bundled")).eval()
    for count in (1, 32):
        for dtype in (torch.float32, torch.bfloat16):
            usual = Encoder("", "", _AutoBackbone(bert, device, dtype), serving._tokenizer, device)  # noqa: SLF001
            yield Variant(
                f"encode {count}", f"transformers {dtype}".replace("torch.", ""), count, _texts(count), usual.encode
            )
        yield Variant(
            f"encode {count}", "ours, float32", count, _texts(count), load_encoder(device="cpu", exact=True).encode
        )
        yield Variant(f"encode {count}", "ours, as it serves", count, _texts(count), serving.encode)


def _texts(count: int) -> Iterator[list[str]]:
    request_maker = RequestMaker("search")
    while True:
        yield [request.query for request in request_maker.make(count).requests if isinstance(request, SearchRequest)]


def _queries(service: str, count: int) -> Iterator[list[Query]]:
    request_maker = RequestMaker(service)
    while True:
        yield [query(request) for request in request_maker.make(count).requests]


def _with_pauses(inputs: Iterator[Any]) -> Iterator[Any]:
    for one_input in inputs:
        time.sleep(_PAUSE_S)
        yield one_input


def _predictions(service: str, counts: Sequence[int]) -> Iterator[Variant]:
    """The model's `predict`; also one query at a time with pauses in which the core idles, as with one in flight."""
    model: Model[Any] = load(service, device="cpu")
    yield Variant(f"{service} 1", "predict, 5 ms apart", 1, _with_pauses(_queries(service, 1)), model.predict)
    for count in counts:
        yield Variant(f"{service} {count}", "predict", count, _queries(service, count), model.predict)


def _mixed() -> Iterator[Variant]:
    """Searches of which one in ten is nine times longer: in batches sorted by length, and in batches as they come."""
    model: Model[Any] = load("search", device="cpu")
    request_set = RequestMaker("search").make(_MIXED, _LONG_SHARE)
    for name, requests in (("sorted by length", request_set.sorted().requests), ("as they come", request_set.requests)):
        queries = [query(request) for request in requests]
        batches = [queries[first : first + _BATCH] for first in range(0, _MIXED, _BATCH)]
        yield Variant("search, mixed lengths", name, _MIXED, itertools.repeat(batches), partial(_one_by_one, model))


def _one_by_one(model: Model[Any], batches: Sequence[Sequence[Query]]) -> None:
    for batch in batches:
        model.predict(batch)


if __name__ == "__main__":
    main()
