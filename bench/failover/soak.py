"""Many failovers in a row under a steady load of all services: nothing lost, nothing doubled, and nothing grows."""

from __future__ import annotations

import contextlib
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

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

_CALM_SHARE = 0.1
_WEIGH_EVERY_S = 60.0
# The backlog of a cold start: 8 workers under 1,100 requests a second needed two minutes on two cores.
_WARM_WITHIN_S = 240.0
_WARM_SPAN_S = 10.0


class ServiceSoak(msgspec.Struct, frozen=True, kw_only=True):
    """One service; milliseconds. `calm`: from the warm-up's end to the first kill. `between`: outside of failovers.

    The counts are of the warm-up too. `written_twice`: as in `bench.failover.campaign`.
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
    """Proportional set sizes, MB: of one worker or standby on average, and of supervisor and roles without Kafka.

    `each_mb`: of those and the nurseries, each by itself.
    """

    after_s: float
    worker_mb: float
    others_mb: float
    kafka_mb: float
    each_mb: dict[str, float] = {}


class Soak(msgspec.Struct, frozen=True, kw_only=True):
    """What the running system did, in so many seconds after the warm-up."""

    warm_up: WarmUp
    seconds: float
    every_s: float
    workers: int
    served: list[ServiceSoak]
    weights: list[Weight]


def soak(settings: Settings, rates: Mapping[str, float], seconds: float, every_s: float) -> Soak:
    """Kills one worker of any service every few seconds, after a tenth of the time without; blocks.

    The time begins when the load has settled: what a cold start leaves to be worked off is no measure of anything.

    Raises ClusterError when the system does not come back to full strength, or the load itself fails.
    """
    scenes = [RunningSystem(settings, service(name, settings)) for name in rates]
    whole: dict[str, FullStrength] = {at.service.name: FullStrength(at) for at in scenes}
    loads: dict[str, Load] = {at.service.name: _load(at, rates[at.service.name]) for at in scenes}
    try:
        for load in loads.values():
            load.start()
        warm = warm_up({loads[name]: rates[name] for name in rates}, *_warming(seconds))
        began = time.monotonic()
        weights = [_weight(scenes[0], 0.0)]
        _killing(scenes, whole, loads, weights, (began, seconds, every_s))
        for load in loads.values():
            load.stop_sending()
        for load in loads.values():
            await_answers(load)
    finally:
        for load in loads.values():
            load.close()
    served = [_served(name, rates[name], loads[name], began) for name in rates]
    workers = sum(len(at.workers()) for at in scenes)
    return Soak(warm_up=warm, seconds=seconds, every_s=every_s, workers=workers, served=served, weights=weights)


def _warming(seconds: float) -> tuple[float, float]:
    """Over which span the load is to be steady, and within what time: less for a short soak."""
    span_s = min(_WARM_SPAN_S, max(1.0, seconds / 30))
    return span_s, _WARM_WITHIN_S * span_s / _WARM_SPAN_S


def _load(at: RunningSystem, rate: float) -> Load:
    return Load(at.settings, at.service, f"soak-{uuid.uuid4().hex[:8]}", rate, ())


def _killing(
    scenes: Sequence[RunningSystem],
    whole: Mapping[str, FullStrength],
    loads: Mapping[str, Load],
    weights: list[Weight],
    when: tuple[float, float, float],
) -> None:
    began, seconds, every_s = when
    due, weigh_due = began + max(every_s, seconds * _CALM_SHARE), began + _WEIGH_EVERY_S
    while time.monotonic() < began + seconds:
        time.sleep(max(0.0, min(due, began + seconds) - time.monotonic()))
        if time.monotonic() >= began + seconds:
            break
        due += every_s
        if time.monotonic() > weigh_due:
            weigh_due += _WEIGH_EVERY_S
            weights.append(_weight(scenes[0], time.monotonic() - began))
        at = random.choice(scenes)
        strike(at, KILL, loads[at.service.name], whole[at.service.name], random.randrange(2**32))
    weights.append(_weight(scenes[0], time.monotonic() - began))


def _weight(at: RunningSystem, after_s: float) -> Weight:
    running = at.status()
    workers = [worker.pid for worker in running.workers if worker.pid]
    kafka = [role.pid for role in running.roles if role.id.startswith("kafka")]
    others = {role.id: role.pid for role in running.roles if role.pid not in kafka}
    others["supervisor"] = running.supervisor_pid
    return Weight(
        after_s=round(after_s, 1),
        worker_mb=round(processes.memory_mb(workers) / max(1, len(workers)), 1),
        others_mb=round(processes.memory_mb(others.values()), 1),
        kafka_mb=round(processes.memory_mb(kafka), 1),
        each_mb={name: round(processes.memory_mb([pid]), 1) for name, pid in (others | _nurseries(running)).items()},
    )


def _nurseries(running: SystemStatus) -> dict[str, int]:
    found = {}
    for worker in running.workers:
        with contextlib.suppress(ProcessLookupError):  # it may have died since
            found[f"nursery of {worker.service}"] = processes.parent(worker.pid)
    return found


def _served(name: str, rate: float, load: Load, began: float) -> ServiceSoak:
    history = load.history()
    if load.broken:
        raise ClusterError(f"the load of {name} itself failed, so nothing is proven: {load.broken}")
    counts = checker.measure(history)
    warm = [request for request in history.requests if request.due >= began]
    recoveries = Recoveries(replace(history, requests=tuple(warm)))
    answered = [recoveries.answered_ms(fault) for fault in history.faults] or [0.0]
    first_fault = min((fault.at for fault in history.faults), default=history.ended)
    calm = latency(request for request in warm if request.answered_at is not None and request.answered_at < first_fault)
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
