"""The cost of a recommendation with more partitions, workers or payload: `python -m bench.growth`.

Every number of partitions or workers is measured on a new system with the trained model and one broker. Besides
wall-clock times it gives processor time, to which other processes add little. Prints Markdown, row after row.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.environment import copied_models, new_home, workplace
from bench.failover.campaign import failover, own_system
from bench.growth.cost import IN_FLIGHT, RequestCost, cost
from bench.growth.payloads import Payload, payloads
from bench.kafka_warm_up import warm_up_kafka
from bench.requests import K, RequestMaker
from drills.faults.running_system import RunningSystem
from standfast.core import logs, settings
from standfast.core.settings import Settings

_FIGURES = (
    f"p50 ms | p99 ms | answers/s, {IN_FLIGHT} in flight | worker µs alone | worker µs, {IN_FLIGHT} | "
    f"Kafka µs, {IN_FLIGHT} | worker MB | Kafka MB"
)
_WORKERS_PARTITIONS = 16  # two for each worker where there are most, 8
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class GrowthOptions:
    """Sizes per table; requests of the warm-up, timed one at a time, and timed with 64 in flight; kills per row."""

    partitions: Sequence[int]
    workers: Sequence[int]
    payload: Sequence[int]
    k: Sequence[int]
    alone: int
    many: int
    kills: int
    warm: int


class Growth:
    """Measures with the models of the state folder `home`; each system gets a folder beside it."""

    def __init__(self, chosen: Settings, home: Path, options: GrowthOptions) -> None:
        self._settings = chosen
        self._home = home
        self._options = options
        self._number = itertools.count()

    def partitions(self) -> Iterator[str]:
        """A row for each number of partitions, with one worker."""
        yield from _head("partitions")
        for partitions in self._options.partitions:
            with self._system(1, partitions) as system:
                yield _row(f"{partitions}", self._cost(system))

    def workers(self) -> Iterator[str]:
        """A row for each number of workers, with 16 partitions, one standby, and the failover after a kill."""
        yield from _head("workers", "failover ms, median | worst")
        for workers in self._options.workers:
            with self._system(workers, _WORKERS_PARTITIONS) as system:
                request_cost = self._cost(system)
                failovers = failover(system, "kill", self._options.kills, 100.0, _PAUSE_S)
                yield _row(f"{workers}", request_cost, f"{failovers.median_ms:.0f} | {failovers.worst_ms:.0f}")

    def payload(self) -> Iterator[str]:
        """Rows for each size of request, by its history and by a header, with one worker."""
        kinds = [kind for size in self._options.payload for kind in payloads(size)]
        yield from self._payloads("bytes a request", kinds)

    def k(self) -> Iterator[str]:
        """A row for each number of products in an answer, with one worker."""
        yield from self._payloads("answer", [Payload(f"k = {k}", k=k) for k in self._options.k])

    def _payloads(self, what: str, kinds: Sequence[Payload]) -> Iterator[str]:
        yield from _head(what)
        with self._system(1, self._settings.kafka.partitions) as system:
            for kind in kinds:
                alone, many = (min(count, kind.most) for count in (self._options.alone, self._options.many))
                yield _row(kind.name, cost(system, kind.make, alone, many, kind.headers))

    def _cost(self, system: RunningSystem) -> RequestCost:
        request_maker = RequestMaker("recommend", seed=3)
        return cost(system, lambda count: request_maker.make(count).requests, self._options.alone, self._options.many)

    @contextmanager
    def _system(self, workers: int, partitions: int) -> Iterator[RunningSystem]:
        recommend = {"workers": workers, "standbys": 1, "max_history": 1_000_000, "max_k": 1000}
        chosen = self._settings.model_copy(
            update={
                "recommend": self._settings.service("recommend").model_copy(update=recommend),
                "kafka": self._settings.kafka.model_copy(update={"partitions": partitions}),
            }
        )
        home = new_home(self._home, f"{next(self._number)}/home")
        with own_system(chosen, "recommend", 1, home) as system:
            warm_up_kafka(system, self._options.warm)
            yield system


Table = Callable[[Growth], Iterator[str]]
_TABLES: dict[str, Table] = {
    "partitions": Growth.partitions,
    "workers": Growth.workers,
    "payload": Growth.payload,
    "k": Growth.k,
}


def _head(what: str, more: str = "") -> Iterator[str]:
    columns = " | ".join(filter(None, [what, _FIGURES, more]))
    yield f"\n| {columns} |"
    yield f"|{' ---: |' * (columns.count('|') + 1)}"


def _row(what: str, request_cost: RequestCost, more: str = "") -> str:
    times = f"{request_cost.alone_p50_ms:.1f} | {request_cost.alone_p99_ms:.1f} | {request_cost.per_second:,.0f}"
    spent = (
        f"{request_cost.worker_us_alone:,.0f} | {request_cost.worker_us_many:,.0f} | {request_cost.kafka_us_many:,.0f}"
    )
    memory = f"{request_cost.worker_mb:.0f} | {request_cost.kafka_mb:.0f}"
    return f"| {' | '.join(filter(None, [what, times, spent, memory, more]))} |"


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _parsed() -> tuple[GrowthOptions, list[Table]]:
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(_TABLES), help="which tables, separated by commas")
    parser.add_argument("--partitions", type=_numbers, default="1,4,16,64,256")
    parser.add_argument("--workers", type=_numbers, default="1,2,4,8")
    parser.add_argument("--payload", type=_numbers, default="200,2000,20000,200000", help="bytes of a request")
    parser.add_argument("--k", type=_numbers, default=f"{K},100")
    parser.add_argument("--alone", type=int, default=400, help="requests timed one by one")
    parser.add_argument("--many", type=int, default=5000, help=f"requests timed with {IN_FLIGHT} in flight")
    parser.add_argument("--warm", type=int, default=3000, help="requests each system answers before")
    parser.add_argument("--kills", type=int, default=5, help="kills for each number of workers")
    given = vars(parser.parse_args())
    only = given.pop("only").split(",")
    wrong = [name for name in only if name not in _TABLES]
    if wrong:
        parser.error(f"--only {','.join(wrong)}: there are {', '.join(_TABLES)}")
    return GrowthOptions(**given), [_TABLES[name] for name in only]


def main() -> None:
    """Prints the chosen tables."""
    options, tables = _parsed()
    chosen = settings.load()
    logs.configure(chosen.log, "bench")
    with workplace() as folder:
        growth = Growth(chosen, copied_models(("recommend",), folder / "models-only"), options)
        for table in tables:
            for line in table(growth):
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
