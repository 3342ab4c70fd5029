"""Latency and throughput of the running system, with a given number of requests in flight."""

from __future__ import annotations

from bench.closed_loop import ClosedLoop
from bench.figures import LatencyFigures
from bench.requests import RequestMaker
from consumers.service import service
from standfast.core.settings import Settings

_WARM_UP = 50  # requests


def latency(settings: Settings, name: str, in_flight: int, requests: int, workers: int) -> LatencyFigures:
    """Times `requests` requests to one service after a warm-up; blocks. Raises NoAnswer if no answer comes for 60 s."""
    served = service(name, settings)
    request_maker = RequestMaker(served.name)
    loop = ClosedLoop(settings, served)
    try:
        loop.run(request_maker.make(_WARM_UP).requests, min(in_flight, _WARM_UP))
        timings = loop.run(request_maker.make(requests).requests, in_flight)
    finally:
        loop.close()
    return LatencyFigures(
        service=name,
        workers=workers,
        in_flight=in_flight,
        requests=requests,
        p50_ms=round(timings.ms(0.5), 2),
        p99_ms=round(timings.ms(0.99), 2),
        max_ms=round(max(timings.seconds) * 1000, 2),
        per_second=round(timings.per_second, 1),
        not_ok=timings.not_ok,
        doubled=timings.doubled,
    )
