"""Strikes at random moments under load, one after the other, judged from the history of every request."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from bench.failover.full_strength import FullStrength
from bench.failover.judging import Judge
from bench.failover.strikes import strike_named
from bench.failover.strikes.scene import Scene, Struck
from bench.failover.two_hosts import two_hosts
from bench.figures import quantile
from bench.own_place import OWN, own_place
from consumers.service import service
from drills import checker
from drills.history import History
from drills.load import Load
from standfast.errors import ClusterError, UsageError
from standfast.settings import Settings

_SETTLE_S = 2.0
_ANSWERS_S = 60.0


class Failover(msgspec.Struct, frozen=True, kw_only=True):
    """Strikes of one kind under load; milliseconds.

    `rto_ms`: what the strike is judged by (`bench.failover.strikes`), of each. `waited_ms`: the longest that a request
    waited beyond what is usual, from each strike until the system was whole again. `whole_ms`: until that, nobody
    missing and the next standby warm, looked for some ten times a second. `unsure`: requests that Kafka never
    acknowledged to the load, which may be missing without being lost. `written_twice`: requests that the load's own
    producer wrote more than once; an answer to each copy is not counted as doubled.
    """

    service: str
    strike: str
    says: str
    figure: str
    strikes: int
    rate: float
    requests: int
    unsure: int
    rto_ms: list[float]
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
def own_scene(settings: Settings, name: str, brokers: int, home: Path, module: str = OWN) -> Iterator[Scene]:
    """A system of its own in `home`, which holds the models, ready to be struck."""
    kafka = settings.kafka.model_copy(update={"brokers": brokers, "replication": 0})
    own = settings.model_copy(update={"kafka": kafka})
    with own_place(own, name, home, module) as (place, located):
        yield Scene(located, service(name, located), place)


def scene_for(strike: str, settings: Settings, name: str, home: Path) -> AbstractContextManager[Scene]:
    """A system of its own as that strike needs it; raises UsageError for one that suits any running system."""
    wanted = strike_named(strike)
    if wanted.brokers is None:
        raise UsageError(f"{strike} needs no system of its own; start one with `standfast up`")
    if wanted.hosts > 1:
        return two_hosts(settings, name, home)
    return own_scene(settings, name, wanted.brokers, home)


def failover(at: Scene, name: str, strikes: int, rate: float, pause_s: float) -> Failover:
    """Strikes so many times, each a random part of `pause_s` after the system was whole again; blocks.

    Raises ClusterError if the system does not come back to full strength between two strikes.
    """
    strike = strike_named(name)
    load = Load(at.settings, at.service, f"bench-{uuid.uuid4().hex[:8]}", rate, ())
    whole = FullStrength(at)
    whole.await_again()
    load.start()
    try:
        time.sleep(_SETTLE_S)
        struck = list(_struck(at, strike.make(), whole, strikes, pause_s))
        time.sleep(pause_s)
        load.stop_sending()
        await_answers(load)
    finally:
        load.close()
    history = load.history()
    if load.broken:
        raise ClusterError(f"the load itself failed, so nothing is proven: {load.broken}")
    return _judged(at, name, rate, history, struck)


def _struck(
    at: Scene, strike: Callable[[Scene], Struck], whole: FullStrength, strikes: int, pause_s: float
) -> Iterator[tuple[Struck, float]]:
    """Each strike, and when everybody was there again after it."""
    for _ in range(strikes):
        time.sleep(pause_s * (0.5 + random.random()))
        one = strike(at)
        yield one, whole.await_again(one.gone)


def await_answers(load: Load) -> None:
    """Waits until every request is answered, or for a minute."""
    until = time.monotonic() + _ANSWERS_S
    while load.unanswered() and time.monotonic() < until:
        time.sleep(0.05)


def _judged(at: Scene, name: str, rate: float, history: History, struck: list[tuple[Struck, float]]) -> Failover:
    strike, judge, counts = strike_named(name), Judge(history), checker.measure(history)
    waited = [judge.pause_ms(one, until) for one, until in struck]
    rto = waited if strike.figure == "pause" else [judge.answered_ms(one) for one, _ in struck]
    usual = judge.usual(struck)
    return Failover(
        service=at.service.name,
        strike=name,
        says=strike.says,
        figure=strike.figure,
        strikes=len(struck),
        rate=rate,
        requests=len(history.requests),
        unsure=counts.unacked,
        rto_ms=[round(one, 1) for one in rto],
        median_ms=round(quantile(rto, 0.5), 1),
        p90_ms=round(quantile(rto, 0.9), 1),
        p99_ms=round(quantile(rto, 0.99), 1),
        worst_ms=round(max(rto), 1),
        waited_ms=[round(one, 1) for one in waited],
        whole_ms=[round((until - one.at) * 1000, 1) for one, until in struck],
        usual_p50_ms=usual.p50_ms,
        usual_p99_ms=usual.p99_ms,
        lost=counts.lost,
        doubled=counts.duplicated,
        out_of_order=counts.out_of_order,
        not_ok=counts.not_ok,
        written_twice=counts.written_twice,
    )
