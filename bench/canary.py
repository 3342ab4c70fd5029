"""What a canary costs a worker, without Kafka: `python -m bench.canary`. One thread; each round measures all variants.

The active version of each service is loaded twice, so that champion and challenger take the same time, and what is
measured is the division of a batch alone. Times are processor time of one batch, no two of which are alike.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

import psutil
import torch

from bench.figures import machine
from bench.peers.computing import query
from bench.requests import Request, RequestMaker
from consumers.channel.messages import CanaryOrder
from consumers.requests.admission import Admitted, Origin
from consumers.serving.breaker import Breaker
from consumers.serving.canary_routing import CanaryRouting
from consumers.serving.challenger import Challenger
from consumers.serving.side_by_side import SideBySide, TimedModel
from models.canary import Versions
from models.loading import load
from schemas.codec import Encoding

_ROUNDS, _SECONDS = 5, 0.5  # seconds of each variant in a round
_SIZES = (1, 8, 32)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to compute a batch."""

    name: str
    size: int
    ask: Callable[[Sequence[Admitted]], object]

    def milliseconds(self, batches: Callable[[int], Sequence[Admitted]]) -> float:
        """Of processor time for a batch, the mean over half a second: a canary's batches differ in their shares."""
        spent = count = 0.0
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            batch = batches(self.size)
            began = time.thread_time()
            self.ask(batch)
            spent += time.thread_time() - began
            count += 1
        return spent / count * 1000


def main() -> None:
    """Prints min, median and max of the rounds, and the ratio to the champion alone, for each size of a batch."""
    torch.set_num_threads(1)
    sys.stdout.write(f"{machine()}\n")
    for service in ("search", "recommend"):
        _measure(service)


def _measure(service: str) -> None:
    champion = load(service, device="cpu")
    before = _own_mb()
    challenger = load(service, device="cpu")
    sys.stdout.write(f"{service}: a second model takes {_own_mb() - before:.0f} MB\n")
    maker = RequestMaker(service, seed=7)

    def batches(size: int) -> Sequence[Admitted]:
        return [_admitted(number, request) for number, request in enumerate(maker.make(size).requests)]

    ways = [way for size in _SIZES for way in _ways(service, champion, challenger, size)]
    for way in ways:
        way.ask(batches(way.size))
    rounds = [[way.milliseconds(batches) for way in ways] for _ in range(_ROUNDS)]
    alone = 0.0
    for way, times in zip(ways, zip(*rounds, strict=True), strict=True):
        middle = statistics.median(times)
        alone = middle if way.name == "champion alone" else alone
        figures = f"{min(times):7.3f} {middle:7.3f} {max(times):7.3f} ms  {middle / alone:5.2f}"
        sys.stdout.write(f"{service:10} batch of {way.size:2}  {way.name:16} {figures}\n")


def _ways(service: str, champion: Any, challenger: Any, size: int) -> list[Way]:
    plain = Breaker(champion, service, lambda _: None)
    ways = [Way("champion alone", size, lambda batch: plain.ask([request.query for request in batch]))]
    routings = {share: _routing(service, champion, challenger, share) for share in (0.1, 0.5)}
    return ways + [Way(f"canary {share:.0%}", size, routing.ask) for share, routing in routings.items()]


def _routing(service: str, champion: Any, challenger: Any, share: float) -> CanaryRouting:
    seen = SideBySide(service, f"{service}@1", f"{service}@2", 2.0)
    timed: Any = TimedModel(champion, seen.champion_took)
    breaker = Breaker(timed, service, lambda _: None)
    theirs = Challenger(TimedModel(challenger, seen.challenger_took), service, seen, lambda _: None)
    routing = CanaryRouting(breaker.ask, theirs.ask, f"{service}@2", Versions(1, 2), seen)
    routing.follow(CanaryOrder(1, 2, share, since=1))
    return routing


_made = iter(range(1 << 62))


def _admitted(number: int, request: Request) -> Admitted:
    key = f"key-{next(_made)}"
    record = Origin("requests", 0, number, 0, key.encode(), None, [])
    return Admitted(record, Encoding.JSON, key, query(request))


def _own_mb() -> float:
    """The memory that this process does not share, in MB."""
    return float(psutil.Process().memory_full_info().uss) / 1e6


if __name__ == "__main__":
    main()
