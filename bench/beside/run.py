"""One comparison, from the checked options to the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.beside.conditions import comparison_conditions
from bench.beside.contenders import BARE, STANDFAST, Contender, chosen
from bench.beside.results import Comparison, Run, summarised
from bench.beside.rounds import load_levels, measured_rounds, warm_up_broker
from bench.environment import shared_environment
from bench.figures import machine
from consumers.service import service
from standfast.core.errors import UsageError
from standfast.core.settings import Settings

_WARM_UP, _TIMES_REQUESTS = 2000, 5  # requests of Kafka's warm-up: 2000, or five times a figure's if that is less
_ONE_BY_ONE, _SEARCHES, _RECOMMENDATIONS = 400, 3000, 20_000  # requests per figure, unless --requests is given


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """The checked options. `levels`: requests in flight by service; `requests` None: enough for a steady figure."""

    peers: Sequence[Contender]
    levels: dict[str, Sequence[int]]
    requests: int | None
    rounds: int
    long: bool = False


def comparison_plan(
    against: str, levels: dict[str, Sequence[int]], requests: int | None, rounds: int, mix: str
) -> ComparisonPlan:
    """The plan for these options; raises UsageError, or SetupError for peers that are not installed."""
    long = mix == "long"
    if mix not in {"uniform", "long"}:
        raise UsageError(f"--mix {mix}: there are uniform and long")
    if long and "search" not in levels:
        raise UsageError("--mix long: only searches have a length; ask for --services search")
    measured_levels: dict[str, Sequence[int]] = {"search": levels["search"][-1:]} if long else levels
    return ComparisonPlan(chosen(against), measured_levels, requests, rounds, long)


def run_comparison(settings: Settings, plan: ComparisonPlan, tell: Callable[[str], None]) -> Comparison:
    """Runs the comparison, which takes minutes; `tell` is called with lines of progress. Leaves nothing running."""
    names = tuple(plan.levels)
    runs: list[Run] = []
    failures: list[str] = []
    tell("starting Kafka")
    with shared_environment(settings, names) as environment:
        tell("warming Kafka up")
        warm_up_broker(
            environment, names[0], min(_WARM_UP, _TIMES_REQUESTS * _requests(plan, names[0], plan.levels[names[0]][0]))
        )
        conditions = comparison_conditions(environment, names, _everyone(plan), plan.rounds, _requests_in_words(plan))
        for name in names:
            requests = {level: _requests(plan, name, level) for level in plan.levels[name]}
            levels = load_levels(service(name, environment.settings), requests, plan.long)
            for run_or_failure in measured_rounds(
                environment, name, levels, _contenders(plan, name), plan.rounds, tell
            ):
                if isinstance(run_or_failure, str):
                    failures.append(run_or_failure)
                else:
                    runs.append(run_or_failure)
    return Comparison(machine=machine(), settings=conditions, summary=summarised(runs), runs=runs, failures=failures)


def _contenders(plan: ComparisonPlan, name: str) -> list[Contender]:
    """Standfast first, then the bare loop, then the peers.

    Of searches the bare loop is a measure only one at a time: with many in flight their limit is the model.
    """
    bare = [BARE] if name == "recommend" or tuple(plan.levels[name]) == (1,) else []
    return list(dict.fromkeys([STANDFAST, *bare, *plan.peers]))


def _everyone(plan: ComparisonPlan) -> list[Contender]:
    return list(dict.fromkeys(contender for name in plan.levels for contender in _contenders(plan, name)))


def _requests(plan: ComparisonPlan, name: str, level: int) -> int:
    if plan.requests is not None:
        return plan.requests
    if level == 1:
        return _ONE_BY_ONE
    return _SEARCHES if name == "search" else _RECOMMENDATIONS


def _requests_in_words(plan: ComparisonPlan) -> str:
    parts = [
        f"{_requests(plan, name, level):,} of {name} at {level} in flight"
        for name, levels in plan.levels.items()
        for level in levels
    ]
    return ", ".join(parts)
