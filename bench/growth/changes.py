"""What products cost that change while the system serves: `python -m bench.growth.changes`.

The first table is of one process with the active search model: new products of words of the shop, laid over it, and
batches of searches with so many of them. The second is of a system of its own: from producing a product to the first
answer with it, and answers while many products come in at once.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import psutil
import torch
from confluent_kafka import Producer

from bench.environment import copied_models, workplace
from bench.failover.campaign import own_system
from bench.requests import RequestMaker
from drills.faults.running_system import RunningSystem
from models.base import Change, SearchQuery
from models.data.shop import load_catalogue
from models.loading import load
from models.search.model import HybridSearch
from schemas.records import SearchRequest
from standfast.caller import Caller
from standfast.core import clients, logs, settings
from standfast.core.settings import Settings

_BATCHES, _WARM = 60, 20
_SHORT, _LONG = 1, 32  # queries of a batch
_K = 10


@dataclass(frozen=True, slots=True)
class OverlayCost:
    """Of a model with so many changed products: what laying one over took, memory, and the median of batches."""

    products: int
    each_us: float
    memory_mb: float
    short_ms: float
    long_ms: float


def overlay_costs(model: HybridSearch, sizes: Sequence[int]) -> Iterator[OverlayCost]:
    """The cost at each number of changed products, ascending; the vectors are those of other products."""
    shop, vectors = products(), model._ranking.vectors.float()  # noqa: SLF001
    batches = {size: _batches(size) for size in (_SHORT, _LONG)}
    for size in batches:
        _median_ms(model, batches[size][:_WARM])
    memory, done = _own_mb(), 0
    for size in sizes:
        taken = 0.0
        for _ in range(size - done):
            item_id, title = next(shop)
            vector = vectors[random.randrange(len(vectors))].numpy().tobytes()
            began = time.perf_counter()
            model.change(Change(item_id, title, title), vector)
            taken += time.perf_counter() - began
        each_us = taken / max(1, size - done) * 1e6
        done = size
        short, long = (_median_ms(model, batches[queries]) for queries in (_SHORT, _LONG))
        yield OverlayCost(size, each_us, _own_mb() - memory, short, long)


def products() -> Iterator[tuple[str, str]]:
    """Made-up products, id and title, of words of the shop in use; every tenth has a word of its own."""
    draw = random.Random(7)
    words = [word for title in load_catalogue().titles for word in title.split()]
    for number in count():
        own = f" zq{number}" if number % 10 == 0 else ""
        yield f"NEW-{number}", " ".join(draw.choices(words, k=draw.randint(3, 6))) + own


def _batches(queries: int) -> list[list[SearchQuery]]:
    made = RequestMaker("search", seed=queries).make(queries * _BATCHES).requests
    texts = [request.query for request in made if isinstance(request, SearchRequest)]
    return [
        [SearchQuery(text, _K) for text in texts[first : first + queries]] for first in range(0, len(texts), queries)
    ]


def _median_ms(model: HybridSearch, batches: Sequence[list[SearchQuery]]) -> float:
    taken = []
    for batch in batches:
        began = time.perf_counter()
        model.predict(batch)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def _own_mb() -> float:
    return float(psutil.Process().memory_full_info().uss) / 1e6


def searchable_ms(system: RunningSystem, times: int) -> list[float]:
    """From producing a product to the first answer that has it, ms, so many times, one after the other."""
    topic, taken = system.settings.kafka.topic_prefix + "catalogue", []
    producer = Producer(clients.producer(system.settings, "bench"))
    with Caller(system.settings) as caller:
        for number in range(times):
            word = f"xylo{number}qua"
            began = time.perf_counter()
            _produce(producer, topic, f"TIMED-{number}", f"{word} lamp")
            producer.flush()
            for attempt in count():
                # No two queries are alike: an answer from the cache would hide the change, if one were kept too long.
                answer = caller.ask(SearchRequest(query=f"{word} {'x' * (attempt % 7)}", k=1), 30)
                if answer.items and answer.items[0].item_id == f"TIMED-{number}":
                    break
            taken.append((time.perf_counter() - began) * 1000)
            time.sleep(random.random() * 0.3)  # else each begins at the same moment of the follower's second
    return taken


def burst(system: RunningSystem, size: int) -> tuple[list[float], list[float], float]:
    """Latencies (ms) of searches, one in flight, before and while `size` products come in.

    And the seconds until worker and standby answer with all of them.
    """
    topic, made = system.settings.kafka.topic_prefix + "catalogue", products()
    requests = iter(RequestMaker("search", seed=3).make(20_000).requests)
    with Caller(system.settings) as caller:
        before = [_asked_ms(caller, next(requests)) for _ in range(200)]
        producer = Producer(clients.producer(system.settings, "bench"))
        began = time.perf_counter()
        for _ in range(size):
            _produce(producer, topic, *next(made))
            producer.poll(0)
        producer.flush()
        during = list[float]()
        while _stored(system) < size or _waiting(system):
            during += [_asked_ms(caller, next(requests)) for _ in range(20)]
        return before, during, time.perf_counter() - began


def _stored(system: RunningSystem) -> int:
    return int(_metric(system, 'standfast_catalogue_products{state="changed"}'))


def _waiting(system: RunningSystem) -> int:
    return int(_metric(system, 'standfast_catalogue_waiting{service="search"}'))


def _metric(system: RunningSystem, name: str) -> float:
    assert system.control is not None
    status = system.control.status()
    assert status is not None
    with urllib.request.urlopen(status.metrics_url, timeout=10) as page:  # noqa: S310 - the system's own, on this host
        lines = page.read().decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)


def _asked_ms(caller: Caller, request: object) -> float:
    assert isinstance(request, SearchRequest)
    began = time.perf_counter()
    caller.ask(request, 30)
    return (time.perf_counter() - began) * 1000


def _produce(producer: Producer, topic: str, item_id: str, title: str) -> None:
    producer.produce(topic, json.dumps({"item_id": item_id, "title": title}), item_id)


def _shown(taken: Sequence[float]) -> str:
    ordered = sorted(taken)
    return f"{statistics.median(ordered):.1f} | {ordered[int(0.99 * (len(ordered) - 1))]:.1f} | {ordered[-1]:.1f}"


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _live(chosen: Settings, options: argparse.Namespace) -> None:
    sized = chosen.for_all_services(workers=options.workers, standbys=options.standbys)
    with workplace() as folder:
        home = copied_models(("search",), folder / "home")
        with own_system(sized, "search", 1, home, "bench.growth.changing_system") as system:
            taken = searchable_ms(system, options.times)
            _tell(f"\nproduce to searchable, ms, {len(taken)} products: p50 | p99 | worst\n{_shown(taken)}")
            before, during, seconds = burst(system, options.burst)
            _tell(f"\n{options.burst:,} products at once: answered with by worker and standby after {seconds:.1f} s")
            _tell(f"searches, ms, p50 | p99 | worst: before {_shown(before)}; meanwhile {_shown(during)}")


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth.changes", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 1_000, 10_000])
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--burst", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--standbys", type=int, default=1)
    parser.add_argument("--only", choices=["model", "system"])
    options = parser.parse_args()
    chosen = settings.load()
    logs.configure(chosen.log, "bench")
    if options.only != "system":
        torch.set_num_threads(1)
        model = load("search")
        assert isinstance(model, HybridSearch)
        _tell("| changed products | µs to lay one over | MB | ms, 1 query | ms, 32 queries |\n|" + " ---: |" * 5)
        for cost in overlay_costs(model, options.sizes):
            times = f"{cost.short_ms:.2f} | {cost.long_ms:.1f}"
            _tell(f"| {cost.products:,} | {cost.each_us:.0f} | {cost.memory_mb:.0f} | {times} |")
    if options.only != "model":
        _live(chosen, options)


if __name__ == "__main__":
    main()
