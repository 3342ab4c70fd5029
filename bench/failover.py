"""Kills of workers at random moments under load, judged by the drills' own history and checker."""

from __future__ import annotations

import os
import random
import signal
import time

from bench.figures import Failover, quantile
from consumers.announced import announce
from consumers.service import Service, service
from drills import checker
from drills.history import History, Request
from drills.load import Load
from drills.targets import active_workers, owned_by
from standfast import status
from standfast.errors import ClusterError
from standfast.settings import Settings

_SETTLE_S = 2.0
_PATIENCE_S = 60.0


def failover(settings: Settings, name: str, kills: int, rate: float, pause_s: float) -> Failover:
    """Kills a random worker so many times, each after a random part of `pause_s` more; blocks.

    Raises ClusterError if the system does not come back to full strength between two kills.
    """
    own = service(name, settings)
    load = Load(settings, own, f"bench-{os.getpid()}", rate, ())
    load.start()
    struck: list[tuple[float, frozenset[int]]] = []
    try:
        time.sleep(_SETTLE_S)
        for _ in range(kills):
            _wait_until_ready(own)
            time.sleep(pause_s * (0.5 + random.random()))
            struck.append(_kill_one(own))
        _wait_until_ready(own)
        time.sleep(pause_s)
        load.stop_sending()
        _wait_for_answers(load)
    finally:
        load.close()
    return _judged(own, rate, load.history(), struck)


def _kill_one(own: Service) -> tuple[float, frozenset[int]]:
    running = status.read()
    if running is None:
        raise ClusterError("the system is gone; see `standfast status`")
    victim = random.choice([one for one in active_workers(running, own) if owned_by(one, own)])
    announce(victim.pid)
    at = time.monotonic()
    os.kill(victim.pid, signal.SIGKILL)
    return at, frozenset(owned_by(victim, own))


def _wait_until_ready(own: Service) -> None:
    """Until every worker serves and a standby is warm again, as the status says."""
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        running = status.read()
        rows = [one for one in running.workers if one.group == own.group] if running else []
        serving = sum(one.role == "active" and one.state == "serving" for one in rows)
        ready = sum(one.role == "standby" and one.state == "ready" for one in rows)
        if rows and serving == sum(one.role == "active" for one in rows) and ready:
            return
        time.sleep(0.05)
    raise ClusterError(f"{own.name} did not come back to full strength in {_PATIENCE_S:.0f} s; see `standfast status`")


def _wait_for_answers(load: Load) -> None:
    until = time.monotonic() + _PATIENCE_S
    while load.unanswered() and time.monotonic() < until:
        time.sleep(0.05)


def _judged(own: Service, rate: float, history: History, struck: list[tuple[float, frozenset[int]]]) -> Failover:
    counts = checker.measure(history)
    rto = [_rto_ms(history.requests, at, partitions) for at, partitions in struck]
    return Failover(
        service=own.name,
        kills=len(struck),
        rate=rate,
        requests=len(history.requests),
        rto_ms=[round(one, 1) for one in rto],
        median_ms=round(quantile(rto, 0.5), 1),
        worst_ms=round(max(rto), 1),
        lost=counts.lost,
        duplicated=counts.duplicated,
        out_of_order=counts.out_of_order,
    )


def _rto_ms(requests: tuple[Request, ...], at: float, partitions: frozenset[int]) -> float:
    """From the kill to the first answer to a request that was sent after it to one of the victim's partitions."""
    after = [
        answered - at
        for one in requests
        if one.partition in partitions and one.invoked >= at and (answered := one.answered_at) is not None
    ]
    return min(after, default=float("inf")) * 1000
