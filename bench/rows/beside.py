"""Rows that compare Standfast with the raw limit, and with peers, on the same requests in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.beside.contenders import BARE, STANDFAST
from bench.beside.results import Comparison, Run, Spread, Summary, spread
from bench.beside.run import comparison_plan, run_comparison
from bench.rows.row import Measurement, RowContext, shown
from standfast.core.errors import ClusterError

_ROUNDS, _QUICK_REQUESTS = 3, 60
# By a figure's name in a row: its field in a `Summary`, its decimals and its unit.
_FIGURES = {
    "p50 beyond raw": ("beyond_ms", 1, "ms"),
    "p99 beyond raw": ("beyond_p99_ms", 1, "ms"),
    "p50 beyond bare": ("beyond_bare_ms", 1, "ms"),
    "p50 of bare and raw": ("times_bare_and_raw", 2, ""),
    "of raw": ("of_raw", 2, ""),
    "of sorted": ("of_sorted", 2, ""),
    "short p99 of uniform": ("short_times_uniform", 2, ""),
    "of bare": ("of_bare", 2, ""),
}


@dataclass(frozen=True, slots=True)
class SideBySide:
    """One service with `in_flight` requests in flight. `figures`: those of `_FIGURES` that its row has."""

    service: str
    in_flight: int
    figures: tuple[str, ...]
    mix: str = "uniform"

    def __call__(self, context: RowContext) -> Measurement:
        """Its figures over the rounds. `wrong`: not ok or answered twice; `times NAME`: answers/s by a peer's."""
        context.shared.clear()
        rounds, requests = (1, max(_QUICK_REQUESTS, 4 * self.in_flight)) if context.quick else (_ROUNDS, None)
        plan = comparison_plan(context.peers, {self.service: [self.in_flight]}, requests, rounds, self.mix)
        comparison = run_comparison(context.shared.settings, plan, context.tell)
        summary = _ours(comparison)
        figures = {name: value for name in self.figures if (value := getattr(summary, _FIGURES[name][0])) is not None}
        by_peer = dict(_by_peer(comparison.runs, summary.load))
        wrong = summary.not_ok + summary.doubled
        parts = [
            *(_in_words(name, figure) for name, figure in figures.items()),
            *(f"{name} {shown(figure, 2)}" for name, figure in by_peer.items()),
        ]
        return Measurement(
            f"{'; '.join(parts)}; {summary.per_second.median:,.0f}/s, {wrong} wrong",
            {**figures, **by_peer, "wrong": float(wrong)},
            comparison,
            tuple(comparison.failures),
        )


def _ours(comparison: Comparison) -> Summary:
    """The summary that is judged: Standfast's last load, which of two is the one with long requests."""
    ours = [summary for summary in comparison.summary if summary.contender == STANDFAST.name]
    if not ours:
        raise ClusterError(f"standfast was not measured: {'; '.join(comparison.failures) or 'no reason was given'}")
    return ours[-1]


def _by_peer(runs: list[Run], load: str) -> Iterator[tuple[str, Spread]]:
    """Our answers per second divided by each peer's in the same round."""
    rates = {(run.contender, run.round): run.per_second for run in runs if run.load == load}
    for peer in dict.fromkeys(name for name, _ in rates if name not in {STANDFAST.name, BARE.name}):
        pairs = [
            (rates.get((STANDFAST.name, number)), theirs) for (name, number), theirs in rates.items() if name == peer
        ]
        ratios = [ours / theirs for ours, theirs in pairs if ours]
        if ratios:
            yield f"times {peer}", spread(ratios)


def _in_words(name: str, figure: Spread) -> str:
    _, digits, unit = _FIGURES[name]
    return f"{name} {shown(figure, digits)}{unit and f' {unit}'}"
