"""The raw limit, Standfast and its peers in turn on the same work: several rounds, each contender started anew."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench import processes
from bench.background import BackgroundLoad
from bench.beside.contender_process import running
from bench.beside.contenders import STANDFAST, Contender
from bench.beside.raw import Raw, raw
from bench.beside.results import UNIFORM, Limit, Run
from bench.cores import arrange, unpin
from bench.environment import Environment
from bench.requests import LONG_SHARE, RequestMaker, RequestSet
from bench.timings import Timings
from consumers.service import Service, service
from standfast.core.errors import ClusterError, NoAnswer

LONG = "10 % nine times longer"
_FEWEST_WARM = 50
_WARM_SEED = 1000  # rounds are seeded from 1 on
_WARM_AT_MOST, _AS_BEFORE = 8, 0.95


@dataclass(frozen=True, slots=True)
class LoadLevel:
    """What is asked and how many at once; `warm` is asked before, and never measured."""

    name: str
    in_flight: int
    asked: RequestSet
    warm: RequestSet
    batch: int


def loads(own: Service, requests: Mapping[int, int], long: bool) -> list[LoadLevel]:
    """The loads of one service from its requests for each level in flight; no request is in two of them.

    With `long` each level has two, a uniform one and one with long requests.
    """
    asker = RequestMaker(own.name)

    def load(name: str, level: int, share: float = 0.0) -> LoadLevel:
        warm = asker.ask(min(requests[level], max(_FEWEST_WARM, 3 * level)), share)
        return LoadLevel(name, level, asker.ask(requests[level], share), warm, min(level, own.batch))

    if long:
        return [one for level in requests for one in (load(UNIFORM, level), load(LONG, level, LONG_SHARE))]
    return [load(f"{level} in flight", level) for level in requests]


def warmed(stage: Environment, name: str, count: int) -> None:
    """Serves so many requests one by one, and again until they cost no less: Kafka compiles itself while it runs.

    It would do so in the first rounds, and for minutes.
    """
    asker, before = RequestMaker(name, seed=_WARM_SEED), float("inf")
    with running(STANDFAST, stage, name, f"{name}-warm", asker.ask(1).requests[0]) as (_, loop):
        for _again in range(_WARM_AT_MOST):
            began = processes.whole_seconds(processes.family(os.getpid()))
            loop.run(asker.ask(count).requests, 1)
            cost = processes.whole_seconds(processes.family(os.getpid())) - began
            if cost > _AS_BEFORE * before:
                return
            before = cost


def compared(
    stage: Environment,
    name: str,
    work: Sequence[LoadLevel],
    contenders: Sequence[Contender],
    rounds: int,
    tell: Callable[[str], None],
) -> Iterator[Run | str]:
    """Every run as it is measured, round by round: raw limit and first contender, raw limit and second, …

    A contender that does not start or stops answering gives what is to be said of it, and the next one's turn comes.
    """
    gc.collect()
    gc.freeze()  # the collector would walk the shop and all requests while one of them is on its way: 50 ms
    own = service(name, stage.settings)
    device = stage.settings.service(own.name).device
    with raw(name, device, stage.home) as limit:
        for number in range(1, rounds + 1):
            for contender in contenders:
                tell(f"{name}, round {number} of {rounds}: {contender.name}")
                try:
                    yield from _measured(stage, name, contender, limit, work, number)
                except (ClusterError, NoAnswer) as error:
                    tell(str(error))
                    yield f"{name}, round {number}, {contender.name}: {error}"


def _measured(
    stage: Environment, name: str, contender: Contender, limit: Raw, work: Sequence[LoadLevel], number: int
) -> Iterator[Run]:
    """The raw limit under each load while nothing else runs, then the contender under each."""
    arrange(stage.layout, [limit.pid])
    limits = [_limit(limit, load) for load in work]
    unpin(processes.family(os.getpid()), stage.layout)
    tag = f"{name}-{contender.name}-{number}"
    with running(contender, stage, name, tag, RequestMaker(name, seed=number).ask(1).requests[0]) as (live, loop):
        arrange(stage.layout, [limit.pid, *live.model_pids()])
        for load, found in zip(work, limits, strict=True):
            loop.run(load.warm.requests, load.in_flight)
            timings, others = _watched(lambda load=load: loop.run(load.asked.requests, load.in_flight))  # type: ignore[misc]
            long = load.asked.long
            yield Run(
                service=name,
                load=load.name,
                in_flight=load.in_flight,
                contender=contender.name,
                round=number,
                per_second=timings.per_second,
                p50_ms=timings.ms(0.5),
                p99_ms=timings.ms(0.99),
                raw=found,
                start_s=live.start_s,
                memory_mb=live.memory_mb(),
                others=others,
                not_ok=timings.not_ok,
                doubled=timings.doubled,
                short_p99_ms=timings.ms(0.99, without=long) if long else None,
            )


def _limit(limit: Raw, load: LoadLevel) -> Limit:
    limit.run(load.warm.requests, load.batch)
    timings, others = _watched(lambda: limit.run(load.asked.requests, load.batch))
    in_order = limit.run(load.asked.sorted().requests, load.batch) if load.asked.long else None
    return Limit(
        per_second=timings.per_second,
        p50_ms=timings.ms(0.5),
        p99_ms=timings.ms(0.99),
        others=others,
        sorted_per_second=in_order.per_second if in_order else None,
    )


def _watched(measure: Callable[[], Timings]) -> tuple[Timings, float]:
    """What was measured, and how many cores others used meanwhile."""
    others = BackgroundLoad()
    timings = measure()
    return timings, others.cores()
