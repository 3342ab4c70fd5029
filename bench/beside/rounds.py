"""The rounds of a comparison: in each, every contender is started anew and measured after the raw limit."""

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
_FEWEST_WARM = 50  # requests of a warm-up
_WARM_SEED = 1000  # the rounds have the seeds from 1 on
_WARM_AT_MOST, _STEADY_COST = 8, 0.95  # runs, and the part of the previous cost from which on it counts as steady


@dataclass(frozen=True, slots=True)
class LoadLevel:
    """The `timed` requests and how many are in flight; the `warm` ones are sent before and not timed."""

    name: str
    in_flight: int
    timed: RequestSet
    warm: RequestSet
    batch: int


def load_levels(served: Service, requests: Mapping[int, int], long: bool) -> list[LoadLevel]:
    """The loads of one service; `requests` gives the number of requests by requests in flight. None is in two loads.

    With `long` each has two loads, a uniform one and one with long requests.
    """
    request_maker = RequestMaker(served.name)

    def load(name: str, in_flight: int, share: float = 0.0) -> LoadLevel:
        warm = request_maker.make(min(requests[in_flight], max(_FEWEST_WARM, 3 * in_flight)), share)
        return LoadLevel(
            name, in_flight, request_maker.make(requests[in_flight], share), warm, min(in_flight, served.batch)
        )

    if long:
        return [
            load_level
            for in_flight in requests
            for load_level in (load(UNIFORM, in_flight), load(LONG, in_flight, LONG_SHARE))
        ]
    return [load(f"{in_flight} in flight", in_flight) for in_flight in requests]


def warm_up_broker(environment: Environment, name: str, count: int) -> None:
    """Sends Standfast `count` requests one at a time, and repeats that until their processor time falls no further.

    Kafka's JVM compiles hot code while it runs, which otherwise takes minutes and falls into the first rounds.
    """
    request_maker, previous_cost = RequestMaker(name, seed=_WARM_SEED), float("inf")
    with running(STANDFAST, environment, name, f"{name}-warm", request_maker.make(1).requests[0]) as (_, loop):
        for _again in range(_WARM_AT_MOST):
            began = processes.whole_seconds(processes.family(os.getpid()))
            loop.run(request_maker.make(count).requests, 1)
            cost = processes.whole_seconds(processes.family(os.getpid())) - began
            if cost > _STEADY_COST * previous_cost:
                return
            previous_cost = cost


def measured_rounds(
    environment: Environment,
    name: str,
    levels: Sequence[LoadLevel],
    contenders: Sequence[Contender],
    rounds: int,
    tell: Callable[[str], None],
) -> Iterator[Run | str]:
    """Yields every run as it is measured, round by round: raw limit and first contender, raw limit and second, …

    For a contender that does not start, or stops answering, it yields the reason as text and goes on with the next.
    """
    gc.collect()
    gc.freeze()  # else a collection visits the shop and all requests while one is in flight, which takes 50 ms
    served = service(name, environment.settings)
    options = environment.settings.service(served.name)
    with raw(name, options.device, options.precision, environment.home) as raw_limit:
        for number in range(1, rounds + 1):
            for contender in contenders:
                tell(f"{name}, round {number} of {rounds}: {contender.name}")
                try:
                    yield from _measured(environment, name, contender, raw_limit, levels, number)
                except (ClusterError, NoAnswer) as error:
                    tell(str(error))
                    yield f"{name}, round {number}, {contender.name}: {error}"


def _measured(
    environment: Environment,
    name: str,
    contender: Contender,
    raw_limit: Raw,
    levels: Sequence[LoadLevel],
    number: int,
) -> Iterator[Run]:
    """Measures the raw limit under each load while no contender runs, then the contender under each load."""
    arrange(environment.layout, [raw_limit.pid])
    limits = [_limit(raw_limit, load) for load in levels]
    unpin(processes.family(os.getpid()), environment.layout)
    tag = f"{name}-{contender.name}-{number}"
    with running(contender, environment, name, tag, RequestMaker(name, seed=number).make(1).requests[0]) as (
        process,
        loop,
    ):
        arrange(environment.layout, [raw_limit.pid, *process.model_pids()])
        for load, measured_limit in zip(levels, limits, strict=True):
            loop.run(load.warm.requests, load.in_flight)
            timings, others = _watched(lambda load=load: loop.run(load.timed.requests, load.in_flight))  # type: ignore[misc]
            long = load.timed.long
            yield Run(
                service=name,
                load=load.name,
                in_flight=load.in_flight,
                contender=contender.name,
                round=number,
                per_second=timings.per_second,
                p50_ms=timings.ms(0.5),
                p99_ms=timings.ms(0.99),
                raw=measured_limit,
                start_s=process.start_s,
                memory_mb=process.memory_mb(),
                others=others,
                not_ok=timings.not_ok,
                doubled=timings.doubled,
                short_p99_ms=timings.ms(0.99, without=long) if long else None,
            )


def _limit(raw_limit: Raw, load: LoadLevel) -> Limit:
    raw_limit.run(load.warm.requests, load.batch)
    timings, others = _watched(lambda: raw_limit.run(load.timed.requests, load.batch))
    sorted_timings = raw_limit.run(load.timed.sorted().requests, load.batch) if load.timed.long else None
    return Limit(
        per_second=timings.per_second,
        p50_ms=timings.ms(0.5),
        p99_ms=timings.ms(0.99),
        others=others,
        sorted_per_second=sorted_timings.per_second if sorted_timings else None,
    )


def _watched(measure: Callable[[], Timings]) -> tuple[Timings, float]:
    """The timings, and how many cores other processes used meanwhile."""
    background = BackgroundLoad()
    timings = measure()
    return timings, background.cores()
