"""The cost of requests to a running system: latency, and processor time of its workers and of Kafka."""

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
    """One request in flight (`alone`), then 64 (`many`). Processor time is microseconds per request, of all workers.

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
    system: RunningSystem, make: Callable[[int], Sequence[Request]], alone: int, many: int, headers: Headers = ()
) -> RequestCost:
    """Times `alone` requests one at a time and `many` with 64 in flight, each after a warm-up; `make` makes new ones.

    Raises ClusterError if a request is answered twice or not `ok`, because the figures would mean nothing.
    """
    workers = [worker.pid for worker in system.workers()]
    kafka = [role.pid for role in system.status().roles if role.id.startswith("kafka")]
    loop = ClosedLoop(system.settings, system.service, headers=headers)
    try:
        loop.run(make(alone // 2 + 1), 1)
        timings_alone, (worker_us_alone, _) = _watched(loop, make(alone), 1, (workers, kafka))
        loop.run(make(many // 2 + 1), IN_FLIGHT)
        timings_many, (worker_us_many, kafka_us_many) = _watched(loop, make(many), IN_FLIGHT, (workers, kafka))
    finally:
        loop.close()
    return RequestCost(
        alone_p50_ms=timings_alone.ms(0.5),
        alone_p99_ms=timings_alone.ms(0.99),
        per_second=timings_many.per_second,
        worker_us_alone=worker_us_alone,
        worker_us_many=worker_us_many,
        kafka_us_many=kafka_us_many,
        worker_mb=processes.memory_mb(workers) / len(workers),
        kafka_mb=processes.memory_mb(kafka),
    )


def _watched(
    loop: ClosedLoop, requests: Sequence[Request], in_flight: int, groups: Sequence[Sequence[int]]
) -> tuple[Timings, list[float]]:
    """The timings, and for each group of pids its processor time per request (µs)."""
    before = [processes.cpu_seconds(pids) for pids in groups]
    timings = loop.run(requests, in_flight)
    after = [processes.cpu_seconds(pids) for pids in groups]
    if timings.not_ok or timings.doubled:
        raise ClusterError(f"{timings.not_ok} of {len(requests)} requests not answered well, {timings.doubled} twice")
    return timings, [(late - early) / len(requests) * 1e6 for early, late in zip(before, after, strict=True)]
