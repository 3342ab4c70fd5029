"""The models' own time, without Kafka: `python -m bench.forward`. One thread; every way in turn in each round.

Processor time, which a busy neighbour disturbs less than the clock on the wall. The yardstick of the encoder is what
transformers computes, since that is what everybody else serves.
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
_ROUNDS, _SECONDS = 5, 0.5
_PAUSE_S = 0.005
_MIXED, _BATCH, _LONG = 320, 32, 0.1


@dataclass(frozen=True, slots=True)
class Way:
    """One way to do a task on the next of `pieces`, of so many queries each."""

    task: str
    name: str
    queries: int
    pieces: Iterator[Any]
    do: Callable[[Any], object]

    def seconds(self) -> float:
        """The median of half a second's worth of pieces, per query."""
        found: list[float] = []
        until = time.thread_time() + _SECONDS
        while time.thread_time() < until or len(found) < 3:
            piece = next(self.pieces)
            began = time.thread_time()
            self.do(piece)
            found.append(time.thread_time() - began)
        return statistics.median(found) / self.queries


def main() -> None:
    """Prints microseconds a query, min-median-max over the rounds, and each way's share of its task's first one's."""
    torch.set_num_threads(1)
    ways = [*_encoders(), *_predictions("search", (1, 32)), *_predictions("recommend", (1, 32, 256)), *_mixed()]
    for way in ways:
        way.do(next(way.pieces))
    rounds = [[way.seconds() for way in ways] for _ in range(_ROUNDS)]
    sys.stdout.write(f"{machine()}\n")
    first: dict[str, Sequence[float]] = {}
    for way, seconds in zip(ways, zip(*rounds, strict=True), strict=True):
        against = zip(seconds, first.setdefault(way.task, seconds), strict=True)
        ratio = statistics.median(own / other for own, other in against)
        low, middle, high = (1e6 * one for one in (min(seconds), statistics.median(seconds), max(seconds)))
        sys.stdout.write(f"{way.task:24}{way.name:24}{low:8.0f}{middle:8.0f}{high:8.0f} µs  x {ratio:.2f}\n")


def _encoders() -> Iterator[Way]:
    from transformers import AutoModel

    serving, device = load_encoder(device="cpu"), torch.device("cpu")
    bert = AutoModel.from_pretrained(encoder_folder("bundled")).eval()
    for count in (1, 32):
        for dtype in (torch.float32, torch.bfloat16):
            usual = Encoder("", "", _AutoBackbone(bert, device, dtype), serving._tokenizer, device)  # noqa: SLF001
            yield Way(
                f"encode {count}", f"transformers {dtype}".replace("torch.", ""), count, _texts(count), usual.encode
            )
        yield Way(
            f"encode {count}", "ours, float32", count, _texts(count), load_encoder(device="cpu", exact=True).encode
        )
        yield Way(f"encode {count}", "ours, as it serves", count, _texts(count), serving.encode)


def _texts(count: int) -> Iterator[list[str]]:
    asker = RequestMaker("search")
    while True:
        yield [request.query for request in asker.ask(count).requests if isinstance(request, SearchRequest)]


def _queries(service: str, count: int) -> Iterator[list[Query]]:
    asker = RequestMaker(service)
    while True:
        yield [query(request) for request in asker.ask(count).requests]


def _paused(pieces: Iterator[Any]) -> Iterator[Any]:
    for piece in pieces:
        time.sleep(_PAUSE_S)
        yield piece


def _predictions(service: str, counts: Sequence[int]) -> Iterator[Way]:
    """Also one at a time with pauses in which the core sleeps, as a worker with one request in flight has them."""
    model: Model[Any] = load(service, device="cpu")
    yield Way(f"{service} 1", "predict, 5 ms apart", 1, _paused(_queries(service, 1)), model.predict)
    for count in counts:
        yield Way(f"{service} {count}", "predict", count, _queries(service, count), model.predict)


def _mixed() -> Iterator[Way]:
    """One query in ten is nine times longer: batches of equal lengths, and batches as they come."""
    model: Model[Any] = load("search", device="cpu")
    asked = RequestMaker("search").ask(_MIXED, _LONG)
    for name, requests in (("sorted by length", asked.sorted().requests), ("as they come", asked.requests)):
        queries = [query(request) for request in requests]
        batches = [queries[first : first + _BATCH] for first in range(0, _MIXED, _BATCH)]
        yield Way("search, mixed lengths", name, _MIXED, itertools.repeat(batches), partial(_one_by_one, model))


def _one_by_one(model: Model[Any], batches: Sequence[Sequence[Query]]) -> None:
    for batch in batches:
        model.predict(batch)


if __name__ == "__main__":
    main()
