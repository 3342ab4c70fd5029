"""Latency and throughput of the running system, with a given number of requests in flight."""

from __future__ import annotations

from bench.caller import ClosedLoop
from bench.figures import Latency, quantile
from consumers.service import service
from standfast.settings import Settings

_WARM_UP = 50


def latency(settings: Settings, name: str, in_flight: int, requests: int, workers: int) -> Latency:
    """Times so many requests to one service after a warm-up; blocks. Raises NoAnswer if the system stops answering."""
    loop = ClosedLoop(settings, service(name, settings))
    try:
        loop.run(_WARM_UP, min(in_flight, _WARM_UP))
        seen = loop.run(requests, in_flight)
    finally:
        loop.close()
    milliseconds = [one * 1000 for one in seen.seconds]
    return Latency(
        service=name,
        workers=workers,
        in_flight=in_flight,
        requests=requests,
        p50_ms=round(quantile(milliseconds, 0.5), 2),
        p99_ms=round(quantile(milliseconds, 0.99), 2),
        max_ms=round(max(milliseconds), 2),
        per_second=round(requests / seen.elapsed, 1),
        not_ok=seen.not_ok,
        doubled=seen.doubled,
    )
