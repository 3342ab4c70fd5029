"""LatencyFigures and throughput of the running system, with a given number of requests in flight."""

from __future__ import annotations

from bench.closed_loop import ClosedLoop
from bench.figures import LatencyFigures
from bench.requests import RequestMaker
from consumers.service import service
from standfast.core.settings import Settings

_WARM_UP = 50


def latency(settings: Settings, name: str, in_flight: int, requests: int, workers: int) -> LatencyFigures:
    """Times so many requests to one service after a warm-up; blocks. Raises NoAnswer if the system stops answering."""
    own = service(name, settings)
    asker = RequestMaker(own.name)
    loop = ClosedLoop(settings, own)
    try:
        loop.run(asker.ask(_WARM_UP).requests, min(in_flight, _WARM_UP))
        seen = loop.run(asker.ask(requests).requests, in_flight)
    finally:
        loop.close()
    return LatencyFigures(
        service=name,
        workers=workers,
        in_flight=in_flight,
        requests=requests,
        p50_ms=round(seen.ms(0.5), 2),
        p99_ms=round(seen.ms(0.99), 2),
        max_ms=round(max(seen.seconds) * 1000, 2),
        per_second=round(seen.per_second, 1),
        not_ok=seen.not_ok,
        doubled=seen.doubled,
    )
