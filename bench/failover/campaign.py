"""Faults at random moments under load, one after the other; figures come from the history of all requests."""

from __future__ import annotations

import math
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from bench.failover.full_strength import FullStrength
from bench.failover.striking import strike
from bench.failover.two_hosts import two_hosts
from bench.figures import quantile
from bench.system_process import OWN_SYSTEM, system_process
from consumers.service import service
from drills.evidence import checker
from drills.evidence.history import History
from drills.evidence.load import Load
from drills.evidence.recovery import Recoveries
from drills.evidence.terms import rounded
from drills.faults import fault_named
from drills.faults.injector import Kind
from drills.faults.running_system import RunningSystem
from standfast.core.errors import ClusterError, UsageError
from standfast.core.settings import Settings

_SETTLE_S = 2.0  # of load before the first fault
_ANSWERS_S = 60.0  # for the last answers


class Failover(msgspec.Struct, frozen=True, kw_only=True):
    """Strikes of one kind under load; milliseconds.

    `figure_ms`: the figure named `figure` of each strike, as `drills.evidence.recovery` defines it. `rto_ms`: the RTO
    of each as defined there, None without a recovery. `waited_ms`: the pause of each as defined there. `whole_ms`: the
    time to full strength, with no process missing and the next standby ready, checked about ten times a second.
    `unsure`: requests that Kafka never acknowledged to the load; without an answer they are not lost. `written_twice`:
    requests that the load's own producer wrote more than once; an answer to each record is not counted as doubled.
    """

    service: str
    strike: str
    says: str
    figure: str
    strikes: int
    rate: float
    requests: int
    unsure: int
    figure_ms: list[float]
    rto_ms: list[float | None]
    median_ms: float
    p90_ms: float
    p99_ms: float
    worst_ms: float
    waited_ms: list[float]
    whole_ms: list[float]
    usual_p50_ms: float | None
    usual_p99_ms: float | None
    lost: int
    doubled: int
    out_of_order: int
    not_ok: dict[str, int]
    written_twice: int = 0


@contextmanager
def own_system(
    settings: Settings, name: str, brokers: int, home: Path, module: str = OWN_SYSTEM
) -> Iterator[RunningSystem]:
    """A system of its own in the state folder `home`, which has the models; ready when it is yielded."""
    kafka = settings.kafka.model_copy(update={"brokers": brokers, "replication": 0})
    one_system = settings.model_copy(update={"kafka": kafka})
    with system_process(one_system, name, home, module) as (process, located):
        yield RunningSystem(located, service(name, located), process)


def system_for(strike: str, settings: Settings, name: str, home: Path) -> AbstractContextManager[RunningSystem]:
    """A system of its own as that fault needs it; raises UsageError for a fault that runs on any running system."""
    kind = fault_named(strike)
    if kind.brokers is None:
        raise UsageError(f"{strike} needs no system of its own; start one with `standfast up`")
    if kind.hosts > 1:
        return two_hosts(settings, name, home)
    return own_system(settings, name, kind.brokers, home)


def failover(system: RunningSystem, strike_name: str, strikes: int, rate: float, pause_s: float) -> Failover:
    """Strikes `strikes` times, each 0.5 to 1.5 `pause_s` after the system is at full strength again; blocks.

    Raises ClusterError if the system does not come back to full strength between two strikes.
    """
    kind = fault_named(strike_name)
    load = Load(system.settings, system.service, f"bench-{uuid.uuid4().hex[:8]}", rate, ())
    full_strength = FullStrength(system)
    full_strength.wait()
    load.start()
    try:
        time.sleep(_SETTLE_S)
        figure_starts = list(_strikes(system, kind, load, full_strength, strikes, pause_s))
        time.sleep(pause_s)
        load.stop_sending()
        await_answers(load)
    finally:
        load.close()
    history = load.history()
    if load.broken:
        raise ClusterError(f"the load itself failed, so nothing is proven: {load.broken}")
    return _judged(system, kind, rate, history, figure_starts)


def _strikes(
    system: RunningSystem, kind: Kind, load: Load, full_strength: FullStrength, strikes: int, pause_s: float
) -> Iterator[float | None]:
    """Runs the strikes; for each yields when its figure starts, as `strike` returns it."""
    first_seed = random.randrange(2**32)
    for seed in range(first_seed, first_seed + strikes):
        time.sleep(pause_s * (0.5 + random.random()))
        yield strike(system, kind, load, full_strength, seed)


def await_answers(load: Load) -> None:
    """Waits until every request is answered, but at most a minute."""
    deadline = time.monotonic() + _ANSWERS_S
    while load.unanswered() and time.monotonic() < deadline:
        time.sleep(0.05)


def _judged(
    system: RunningSystem, kind: Kind, rate: float, history: History, figure_starts: list[float | None]
) -> Failover:
    recoveries, counts, faults = Recoveries(history), checker.measure(history), history.faults
    waited = [recoveries.pause_ms(fault) for fault in faults]
    answered = [recoveries.answered_ms(fault, begin) for fault, begin in zip(faults, figure_starts, strict=True)]
    figure = waited if kind.figure == "pause" else answered
    usual = recoveries.usual()
    return Failover(
        service=system.service.name,
        strike=kind.name,
        says=kind.says,
        figure=str(kind.figure),
        strikes=len(faults),
        rate=rate,
        requests=len(history.requests),
        unsure=counts.unacked,
        figure_ms=[round(ms, 1) for ms in figure],
        rto_ms=[rounded(recoveries.rto_ms(fault)) for fault in faults],
        median_ms=round(quantile(figure, 0.5), 1),
        p90_ms=round(quantile(figure, 0.9), 1),
        p99_ms=round(quantile(figure, 0.99), 1),
        worst_ms=round(max(figure), 1),
        waited_ms=[round(ms, 1) for ms in waited],
        whole_ms=[round(((fault.ended or math.inf) - fault.at) * 1000, 1) for fault in faults],
        usual_p50_ms=usual.p50_ms,
        usual_p99_ms=usual.p99_ms,
        lost=counts.lost,
        doubled=counts.duplicated,
        out_of_order=counts.out_of_order,
        not_ok=counts.not_ok,
        written_twice=counts.written_twice,
    )
