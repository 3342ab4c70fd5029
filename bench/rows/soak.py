"""The soak row: many kills under a steady load of both services."""

from __future__ import annotations

from collections.abc import Sequence

from bench.failover.soak import ServiceSoak, Soak, Weight, soak
from bench.rows.row import Measurement, RowContext

_RATES: dict[str, float] = {"search": 100.0, "recommend": 1000.0}  # requests per second
_QUICK_RATES: dict[str, float] = {"search": 30.0, "recommend": 60.0}
_MINUTES, _EVERY_S = 10.0, 10.0  # duration; seconds between kills
_QUICK_MINUTES, _QUICK_EVERY_S = 0.5, 3.0
_TIMES_CALM, _BEYOND_CALM_MS = 1.5, 20.0  # limits of p99 between failovers, relative to the calm p99


def measure_soak(context: RowContext) -> Measurement:
    """Figures: lost, doubled, growth of memory since the second sample, p99 between failovers relative to its limit.

    The last is missing if latency had not settled before the first kill: there is nothing to compare it with.
    """
    system = context.shared.running("many", context.tell)
    rates, minutes, every_s = (
        (_QUICK_RATES, _QUICK_MINUTES, _QUICK_EVERY_S) if context.quick else (_RATES, _MINUTES, _EVERY_S)
    )
    context.tell(f"a kill every {every_s:g} s for {minutes:g} minutes")
    result = soak(system.settings, rates, minutes * 60, every_s)
    figures = {
        "lost": float(sum(served.lost for served in result.served)),
        "doubled": float(sum(served.doubled for served in result.served)),
        "growth": grown(result.weights),
    }
    if not result.warm_up.settled:
        return Measurement(
            _shown(result), figures, result, ("latency had not settled before the kills: p99 is not compared",)
        )
    figures["p99 between failovers, of what it may be"] = max(map(beyond_calm, result.served))
    return Measurement(_shown(result), figures, result)


def grown(weights: Sequence[Weight]) -> float:
    """By what factor the memory of workers, or of supervisor and roles, grew since a minute after the beginning."""
    first, last = _compared(weights)
    return max(last.worker_mb / first.worker_mb, last.others_mb / first.others_mb)


def beyond_calm(served: ServiceSoak) -> float:
    """Its p99 between failovers divided by its limit: 1.5 times the p99 before the first kill, or 20 ms more."""
    calm, between = served.calm_p99_ms, served.between_p99_ms
    if calm is None or between is None:
        return float("inf")
    return between / max(_TIMES_CALM * calm, calm + _BEYOND_CALM_MS)


def _compared(weights: Sequence[Weight]) -> tuple[Weight, Weight]:
    return weights[min(1, len(weights) - 2)], weights[-1]


def _most_grown(weights: Sequence[Weight]) -> str:
    """The process whose memory grew most, and by how many megabytes."""
    first, last = _compared(weights)
    growth = {name: mb - first.each_mb[name] for name, mb in last.each_mb.items() if name in first.each_mb}
    name = max(growth, key=growth.__getitem__, default="nobody")
    return f"{name} most, by {growth.get(name, 0):,.0f} MB"


def _shown(result: Soak) -> str:
    each = [
        f"{served.service} p99 {served.between_p99_ms or 0:,.0f} ms between, "
        f"{served.calm_p99_ms or 0:,.0f} before the kills"
        for served in result.served
    ]
    requests, kills = sum(served.requests for served in result.served), sum(served.kills for served in result.served)
    lost, doubled = sum(served.lost for served in result.served), sum(served.doubled for served in result.served)
    heavier = f"{grown(result.weights):.2f} times as heavy ({_most_grown(result.weights)})"
    return f"{kills} kills, {lost} lost, {doubled} doubled of {requests:,}; {heavier}; {'; '.join(each)}"
