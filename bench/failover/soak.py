"""Many failovers in a row under a steady load of all services: counts of lost and doubled answers, and memory."""

from __future__ import annotations

import contextlib
import random
import time
import uuid
from collections.abc import Mapping, Sequence

import msgspec

from bench import processes
from bench.failover.campaign import await_answers
from bench.failover.full_strength import FullStrength
from bench.failover.striking import strike
from bench.failover.warm_up import WarmUp, warm_up
from bench.figures import quantile
from consumers.service import service
from drills.evidence import checker
from drills.evidence.latency import latency
from drills.evidence.load import Load
from drills.evidence.recovery import Recoveries
from drills.faults.kill import KILL
from drills.faults.running_system import RunningSystem
from standfast.core.errors import ClusterError
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus

_CALM_SHARE = 0.1  # of the time, before the first kill
_SAMPLE_EVERY_S = 60.0  # of memory
# 8 workers under 1,100 requests a second needed two minutes on two cores to work off the backlog of a cold start.
_WARM_WITHIN_S = 240.0
_WARM_SPAN_S = 10.0  # over which the load must be steady


class ServiceSoak(msgspec.Struct, frozen=True, kw_only=True):
    """One service; milliseconds. `calm`: from the warm-up's end to the first kill. `between`: outside failovers.

    The counts include the warm-up. `written_twice`: as in `bench.failover.campaign`.
    """

    service: str
    rate: float
    requests: int
    kills: int
    failover_p50_ms: float
    failover_p99_ms: float
    calm_p50_ms: float | None
    calm_p99_ms: float | None
    between_p50_ms: float | None
    between_p99_ms: float | None
    lost: int
    doubled: int
    out_of_order: int
    not_ok: dict[str, int]
    written_twice: int = 0


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """Proportional set sizes, MB: of one worker or standby on average, of supervisor and roles but Kafka, of Kafka.

    `each_mb`: of the supervisor, each role and each nursery by name.
    """

    after_s: float
    worker_mb: float
    others_mb: float
    kafka_mb: float
    each_mb: dict[str, float] = {}


class Soak(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a soak of `seconds` after the warm-up, with a kill every `every_s`."""

    warm_up: WarmUp
    seconds: float
    every_s: float
    workers: int
    served: list[ServiceSoak]
    weights: list[Weight]


def soak(settings: Settings, rates: Mapping[str, float], seconds: float, every_s: float) -> Soak:
    """Kills a random worker every `every_s` seconds, after a tenth of the time without kills; blocks.

    The time begins when the load has settled, so that the backlog of a cold start is not measured.

    Raises ClusterError if the system does not come back to full strength, or if the load itself fails.
    """
    systems = [RunningSystem(settings, service(name, settings)) for name in rates]
    full_strengths: dict[str, FullStrength] = {system.service.name: FullStrength(system) for system in systems}
    loads: dict[str, Load] = {system.service.name: _load(system, rates[system.service.name]) for system in systems}
    try:
        for load in loads.values():
            load.start()
        warm = warm_up({loads[name]: rates[name] for name in rates}, *_warming(seconds))
        warm_at = time.monotonic()
        weights = [_weight(systems[0], 0.0)]
        _kill_workers(systems, full_strengths, loads, weights, (warm_at, seconds, every_s))
        for load in loads.values():
            load.stop_sending()
        for load in loads.values():
            await_answers(load)
    finally:
        for load in loads.values():
            load.close()
    served = [_served(name, rates[name], loads[name], warm_at) for name in rates]
    workers = sum(len(system.workers()) for system in systems)
    return Soak(warm_up=warm, seconds=seconds, every_s=every_s, workers=workers, served=served, weights=weights)


def _warming(seconds: float) -> tuple[float, float]:
    """For how long the load must be steady, and the limit of the warm-up, in seconds; less for a short soak."""
    span_s = min(_WARM_SPAN_S, max(1.0, seconds / 30))
    return span_s, _WARM_WITHIN_S * span_s / _WARM_SPAN_S


def _load(system: RunningSystem, rate: float) -> Load:
    return Load(system.settings, system.service, f"soak-{uuid.uuid4().hex[:8]}", rate, ())


def _kill_workers(
    systems: Sequence[RunningSystem],
    full_strengths: Mapping[str, FullStrength],
    loads: Mapping[str, Load],
    weights: list[Weight],
    times: tuple[float, float, float],
) -> None:
    began, seconds, every_s = times
    due, sample_due = began + max(every_s, seconds * _CALM_SHARE), began + _SAMPLE_EVERY_S
    while time.monotonic() < began + seconds:
        time.sleep(max(0.0, min(due, began + seconds) - time.monotonic()))
        if time.monotonic() >= began + seconds:
            break
        due += every_s
        if time.monotonic() > sample_due:
            sample_due += _SAMPLE_EVERY_S
            weights.append(_weight(systems[0], time.monotonic() - began))
        system = random.choice(systems)
        strike(system, KILL, loads[system.service.name], full_strengths[system.service.name], random.randrange(2**32))
    weights.append(_weight(systems[0], time.monotonic() - began))


def _weight(system: RunningSystem, after_s: float) -> Weight:
    status = system.status()
    workers = [worker.pid for worker in status.workers if worker.pid]
    kafka = [role.pid for role in status.roles if role.id.startswith("kafka")]
    others = {role.id: role.pid for role in status.roles if role.pid not in kafka}
    others["supervisor"] = status.supervisor_pid
    return Weight(
        after_s=round(after_s, 1),
        worker_mb=round(processes.memory_mb(workers) / max(1, len(workers)), 1),
        others_mb=round(processes.memory_mb(others.values()), 1),
        kafka_mb=round(processes.memory_mb(kafka), 1),
        each_mb={name: round(processes.memory_mb([pid]), 1) for name, pid in (others | _nurseries(status)).items()},
    )


def _nurseries(status: SystemStatus) -> dict[str, int]:
    nurseries = {}
    for worker in status.workers:
        with contextlib.suppress(ProcessLookupError):  # the worker may have died
            nurseries[f"nursery of {worker.service}"] = processes.parent(worker.pid)
    return nurseries


def _served(name: str, rate: float, load: Load, warm_at: float) -> ServiceSoak:
    history = load.history()
    if load.broken:
        raise ClusterError(f"the load of {name} itself failed, so nothing is proven: {load.broken}")
    counts = checker.measure(history)
    warm_requests = [request for request in history.requests if request.due >= warm_at]
    recoveries = Recoveries(msgspec.structs.replace(history, requests=tuple(warm_requests)))
    answered = [recoveries.answered_ms(fault) for fault in history.faults] or [0.0]
    first_fault = min((fault.at for fault in history.faults), default=history.ended)
    calm = latency(
        request for request in warm_requests if request.answered_at is not None and request.answered_at < first_fault
    )
    between = recoveries.usual()
    return ServiceSoak(
        service=name,
        rate=rate,
        requests=len(history.requests),
        kills=len(history.faults),
        failover_p50_ms=round(quantile(answered, 0.5), 1),
        failover_p99_ms=round(quantile(answered, 0.99), 1),
        calm_p50_ms=calm.p50_ms,
        calm_p99_ms=calm.p99_ms,
        between_p50_ms=between.p50_ms,
        between_p99_ms=between.p99_ms,
        lost=counts.lost,
        doubled=counts.duplicated,
        out_of_order=counts.out_of_order,
        not_ok=counts.not_ok,
        written_twice=counts.written_twice,
    )
