"""What requests cost a running system: on the clock, and in processor time of its workers and of Kafka."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import processes
from bench.closed_loop import ClosedLoop
from bench.requests import Request
from bench.timings import Timings
from drills.faults.running_system import RunningSystem
from standfast.core.errors import ClusterError

IN_FLIGHT = 64
Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class RequestCost:
    """One request in flight (`alone`), then 64 (`many`). Processor time is microseconds a request, of all workers.

    `worker_mb`: proportional set size of one worker on average.
    """

    alone_p50_ms: float
    alone_p99_ms: float
    per_second: float
    worker_us_alone: float
    worker_us_many: float
    kafka_us_many: float
    worker_mb: float
    kafka_mb: float


def cost(
    at: RunningSystem, ask: Callable[[int], Sequence[Request]], alone: int, many: int, headers: Headers = ()
) -> RequestCost:
    """Times so many requests alone and so many at 64 in flight, each after a warm-up; `ask` makes that many new ones.

    Raises ClusterError if one is answered twice or not well: what is measured then is not what was meant.
    """
    workers = [row.pid for row in at.workers()]
    kafka = [row.pid for row in at.status().roles if row.id.startswith("kafka")]
    loop = ClosedLoop(at.settings, at.service, headers=headers)
    try:
        loop.run(ask(alone // 2 + 1), 1)
        one, (worker_us_alone, _) = _watched(loop, ask(alone), 1, (workers, kafka))
        loop.run(ask(many // 2 + 1), IN_FLIGHT)
        full, (worker_us_many, kafka_us_many) = _watched(loop, ask(many), IN_FLIGHT, (workers, kafka))
    finally:
        loop.close()
    return RequestCost(
        alone_p50_ms=one.ms(0.5),
        alone_p99_ms=one.ms(0.99),
        per_second=full.per_second,
        worker_us_alone=worker_us_alone,
        worker_us_many=worker_us_many,
        kafka_us_many=kafka_us_many,
        worker_mb=processes.memory_mb(workers) / len(workers),
        kafka_mb=processes.memory_mb(kafka),
    )


def _watched(
    loop: ClosedLoop, requests: Sequence[Request], in_flight: int, of: Sequence[Sequence[int]]
) -> tuple[Timings, list[float]]:
    """The timings, and of each group of processes the processor time a request."""
    before = [processes.cpu_seconds(pids) for pids in of]
    timings = loop.run(requests, in_flight)
    after = [processes.cpu_seconds(pids) for pids in of]
    if timings.not_ok or timings.doubled:
        raise ClusterError(f"{timings.not_ok} of {len(requests)} requests not answered well, {timings.doubled} twice")
    return timings, [(late - early) / len(requests) * 1e6 for early, late in zip(before, after, strict=True)]
