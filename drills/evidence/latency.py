"""Percentiles of the latency of answered requests."""

from __future__ import annotations

import math
from collections.abc import Iterable

from drills.evidence.history import Request
from schemas.records import Latency


def latency(requests: Iterable[Request], further_ms: Iterable[float] = ()) -> Latency:
    """Nearest-rank percentiles of the answered requests and of further latencies; only the count without any."""
    times = sorted([*(ms for request in requests if (ms := request.latency_ms) is not None), *further_ms])
    if not times:
        return Latency(count=0)
    return Latency(count=len(times), p50_ms=rank(times, 0.5), p99_ms=rank(times, 0.99), max_ms=round(times[-1], 3))


def rank(times: list[float], quantile: float) -> float:
    return round(times[max(0, math.ceil(quantile * len(times)) - 1)], 3)
