"""What a recommendation costs with more partitions, workers or payload: `python -m bench.growth`.

Partitions and workers are measured on a new system each, with the trained model and one broker. Beside times on the
clock stands processor time, to which neighbours of the benchmark add little. Prints Markdown, row after row.
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
from bench.failover.campaign import failover, own_scene
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
_WORKERS_PARTITIONS = 16  # two for each of the most workers
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class GrowthOptions:
    """Sizes of each kind; requests to `warm` up with, timed `alone` and with `many` in flight; kills for each row."""

    partitions: Sequence[int]
    workers: Sequence[int]
    payload: Sequence[int]
    k: Sequence[int]
    alone: int
    many: int
    kills: int
    warm: int


class Growth:
    """Measures with models of the state folder `home`; each system gets a folder beside it."""

    def __init__(self, chosen: Settings, home: Path, asked: GrowthOptions) -> None:
        self._settings = chosen
        self._home = home
        self._asked = asked
        self._number = itertools.count()

    def partitions(self) -> Iterator[str]:
        """One worker, more and more partitions."""
        yield from _head("partitions")
        for partitions in self._asked.partitions:
            with self._system(1, partitions) as at:
                yield _row(f"{partitions}", self._cost(at))

    def workers(self) -> Iterator[str]:
        """16 partitions, more and more workers, one standby; and how long a killed one's partitions wait."""
        yield from _head("workers", "failover ms, median | worst")
        for workers in self._asked.workers:
            with self._system(workers, _WORKERS_PARTITIONS) as at:
                found = self._cost(at)
                struck = failover(at, "kill", self._asked.kills, 100.0, _PAUSE_S)
                yield _row(f"{workers}", found, f"{struck.median_ms:.0f} | {struck.worst_ms:.0f}")

    def payload(self) -> Iterator[str]:
        """One worker, larger and larger requests: by what is computed from, and by what is only passed on."""
        yield from self._payloads("bytes a request", [one for size in self._asked.payload for one in payloads(size)])

    def k(self) -> Iterator[str]:
        """One worker, larger and larger answers."""
        yield from self._payloads("answer", [Payload(f"k = {k}", k=k) for k in self._asked.k])

    def _payloads(self, what: str, kinds: Sequence[Payload]) -> Iterator[str]:
        yield from _head(what)
        with self._system(1, self._settings.kafka.partitions) as at:
            for kind in kinds:
                alone, many = (min(count, kind.most) for count in (self._asked.alone, self._asked.many))
                yield _row(kind.name, cost(at, kind.ask, alone, many, kind.headers))

    def _cost(self, at: RunningSystem) -> RequestCost:
        asker = RequestMaker("recommend", seed=3)
        return cost(at, lambda count: asker.ask(count).requests, self._asked.alone, self._asked.many)

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
        with own_scene(chosen, "recommend", 1, home) as at:
            warm_up_kafka(at, self._asked.warm)
            yield at


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


def _row(what: str, one: RequestCost, more: str = "") -> str:
    times = f"{one.alone_p50_ms:.1f} | {one.alone_p99_ms:.1f} | {one.per_second:,.0f}"
    spent = f"{one.worker_us_alone:,.0f} | {one.worker_us_many:,.0f} | {one.kafka_us_many:,.0f}"
    memory = f"{one.worker_mb:.0f} | {one.kafka_mb:.0f}"
    return f"| {' | '.join(filter(None, [what, times, spent, memory, more]))} |"


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def _asked() -> tuple[GrowthOptions, list[Table]]:
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
    """Prints the tables that were asked for."""
    asked, tables = _asked()
    chosen = settings.load()
    logs.configure(chosen.log, "bench")
    with workplace() as place:
        growth = Growth(chosen, copied_models(("recommend",), place / "models-only"), asked)
        for table in tables:
            for line in table(growth):
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
