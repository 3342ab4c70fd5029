"""Rows of a comparison: Standfast beside the raw limit, and peers, on the same requests in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.beside.contenders import BARE, STANDFAST
from bench.beside.results import Comparison, Run, Spread, Summary, spread
from bench.beside.run import comparison, wanted
from bench.rows.row import Measurement, RowContext, shown
from standfast.core.errors import ClusterError

_ROUNDS, _FEW = 3, 60
# What a row calls a figure, what a summary calls it, its digits and its unit.
_FIGURES = {
    "p50 beyond raw": ("beyond_ms", 1, "ms"),
    "p99 beyond raw": ("beyond_p99_ms", 1, "ms"),
    "p50 beyond bare": ("beyond_bare_ms", 1, "ms"),
    "p50 of raw": ("times_raw", 2, ""),
    "of raw": ("of_raw", 2, ""),
    "of sorted": ("of_sorted", 2, ""),
    "short p99 of uniform": ("short_times_uniform", 2, ""),
    "of bare": ("of_bare", 2, ""),
}


@dataclass(frozen=True, slots=True)
class SideBySide:
    """One service with so many requests in flight. `figures`: those of `_FIGURES` that its row is about."""

    service: str
    in_flight: int
    figures: tuple[str, ...]
    mix: str = "uniform"

    def __call__(self, context: RowContext) -> Measurement:
        """Figures, spread over the rounds. `wrong`: answered twice or not well; `times NAME`: answers/s by a peer's."""
        context.shared.clear()
        rounds, requests = (1, max(_FEW, 4 * self.in_flight)) if context.quick else (_ROUNDS, None)
        asked = wanted(context.peers, {self.service: [self.in_flight]}, requests, rounds, self.mix)
        found = comparison(context.shared.settings, asked, context.tell)
        ours = _ours(found)
        figures = {name: one for name in self.figures if (one := getattr(ours, _FIGURES[name][0])) is not None}
        by_peer = dict(_by_peer(found.runs, ours.load))
        wrong = ours.not_ok + ours.doubled
        told = [
            *(_told(name, one) for name, one in figures.items()),
            *(f"{n} {shown(s, 2)}" for n, s in by_peer.items()),
        ]
        return Measurement(
            f"{'; '.join(told)}; {ours.per_second.median:,.0f}/s, {wrong} wrong",
            {**figures, **by_peer, "wrong": float(wrong)},
            found,
            tuple(found.failures),
        )


def _ours(found: Comparison) -> Summary:
    """What is judged: Standfast's last load, which is the one with long requests where there are two."""
    ours = [one for one in found.summary if one.contender == STANDFAST.name]
    if not ours:
        raise ClusterError(f"standfast was not measured: {'; '.join(found.failures) or 'no reason was given'}")
    return ours[-1]


def _by_peer(runs: list[Run], load: str) -> Iterator[tuple[str, Spread]]:
    """Our answers a second by each peer's in the same round."""
    under = {(run.contender, run.round): run.per_second for run in runs if run.load == load}
    for peer in dict.fromkeys(name for name, _ in under if name not in {STANDFAST.name, BARE.name}):
        both = [
            (under.get((STANDFAST.name, number)), theirs) for (name, number), theirs in under.items() if name == peer
        ]
        ratios = [ours / theirs for ours, theirs in both if ours]
        if ratios:
            yield f"times {peer}", spread(ratios)


def _told(name: str, figure: Spread) -> str:
    _, digits, unit = _FIGURES[name]
    return f"{name} {shown(figure, digits)}{unit and f' {unit}'}"
