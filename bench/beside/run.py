"""One comparison from what was asked for to the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.beside.conditions import described
from bench.beside.contenders import BARE, STANDFAST, Contender, chosen
from bench.beside.results import Comparison, Run, summarised
from bench.beside.rounds import compared, loads, warmed
from bench.environment import shared_environment
from bench.figures import machine
from consumers.service import service
from standfast.core.errors import UsageError
from standfast.core.settings import Settings

_WARM_UP, _TIMES_REQUESTS = 2000, 5
_ONE_BY_ONE, _SEARCHES, _RECOMMENDATIONS = 400, 3000, 20_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """`levels`: requests in flight by service; `requests` None: as many as make a figure steady within seconds."""

    peers: Sequence[Contender]
    levels: dict[str, Sequence[int]]
    requests: int | None
    rounds: int
    long: bool = False


def wanted(against: str, levels: dict[str, Sequence[int]], requests: int | None, rounds: int, mix: str) -> Wanted:
    """What to measure, checked; raises UsageError, and SetupError for peers that are not installed."""
    long = mix == "long"
    if mix not in {"uniform", "long"}:
        raise UsageError(f"--mix {mix}: there are uniform and long")
    if long and "search" not in levels:
        raise UsageError("--mix long: only searches have a length; ask for --services search")
    kept: dict[str, Sequence[int]] = {"search": levels["search"][-1:]} if long else levels
    return Wanted(chosen(against), kept, requests, rounds, long)


def comparison(settings: Settings, asked: Wanted, tell: Callable[[str], None]) -> Comparison:
    """Measures all of it, which takes minutes; `tell` hears what is measured now. Leaves nothing running."""
    names = tuple(asked.levels)
    runs: list[Run] = []
    failures: list[str] = []
    tell("starting Kafka")
    with shared_environment(settings, names) as here:
        tell("warming Kafka up")
        warmed(here, names[0], min(_WARM_UP, _TIMES_REQUESTS * _requests(asked, names[0], asked.levels[names[0]][0])))
        about = described(here, names, _everyone(asked), asked.rounds, _told(asked))
        for name in names:
            requests = {level: _requests(asked, name, level) for level in asked.levels[name]}
            work = loads(service(name, here.settings), requests, asked.long)
            for found in compared(here, name, work, _contenders(asked, name), asked.rounds, tell):
                if isinstance(found, str):
                    failures.append(found)
                else:
                    runs.append(found)
    return Comparison(machine=machine(), settings=about, summary=summarised(runs), runs=runs, failures=failures)


def _contenders(asked: Wanted, name: str) -> list[Contender]:
    """Standfast first, then the peers; beside recommendations the bare loop, which is their limit."""
    bare = [BARE] if name == "recommend" else []
    return list(dict.fromkeys([STANDFAST, *bare, *asked.peers]))


def _everyone(asked: Wanted) -> list[Contender]:
    return list(dict.fromkeys(contender for name in asked.levels for contender in _contenders(asked, name)))


def _requests(asked: Wanted, name: str, level: int) -> int:
    if asked.requests is not None:
        return asked.requests
    if level == 1:
        return _ONE_BY_ONE
    return _SEARCHES if name == "search" else _RECOMMENDATIONS


def _told(asked: Wanted) -> str:
    each = [
        f"{_requests(asked, name, level):,} of {name} at {level} in flight"
        for name, levels in asked.levels.items()
        for level in levels
    ]
    return ", ".join(each)
