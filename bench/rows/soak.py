"""The row of the soak: many kills under a steady load of both services."""

from __future__ import annotations

from collections.abc import Sequence

from bench.failover.soak import ServiceSoak, Soak, Weight, soak
from bench.rows.row import Measurement, RowContext

_RATES: dict[str, float] = {"search": 100.0, "recommend": 1000.0}
_FEW: dict[str, float] = {"search": 30.0, "recommend": 60.0}
_MINUTES, _EVERY_S = 10.0, 10.0
_QUICK_MINUTES, _QUICK_EVERY_S = 0.5, 3.0
_TIMES_CALM, _BEYOND_CALM_MS = 1.5, 20.0


def soaked(context: RowContext) -> Measurement:
    """Figures: lost, doubled, growth from the second weighing on, p99 between failovers by what it may be.

    The last is missing where latency had not settled before the first kill: there is nothing to compare with.
    """
    scene = context.shared.at("many", context.tell)
    rates, minutes, every_s = (_FEW, _QUICK_MINUTES, _QUICK_EVERY_S) if context.quick else (_RATES, _MINUTES, _EVERY_S)
    context.tell(f"a kill every {every_s:g} s for {minutes:g} minutes")
    found = soak(scene.settings, rates, minutes * 60, every_s)
    figures = {
        "lost": float(sum(one.lost for one in found.served)),
        "doubled": float(sum(one.doubled for one in found.served)),
        "growth": grown(found.weights),
    }
    if not found.warm_up.settled:
        return Measurement(
            _shown(found), figures, found, ("latency had not settled before the kills: p99 is not compared",)
        )
    figures["p99 between failovers, of what it may be"] = max(map(beyond_calm, found.served))
    return Measurement(_shown(found), figures, found)


def grown(weights: Sequence[Weight]) -> float:
    """How many times heavier workers, or supervisor and roles, are at the end than a minute after the beginning."""
    first, last = _compared(weights)
    return max(last.worker_mb / first.worker_mb, last.others_mb / first.others_mb)


def beyond_calm(one: ServiceSoak) -> float:
    """Its p99 between failovers by the most it may be: 1.5 times, or 20 ms more than, the p99 before the first kill."""
    calm, between = one.calm_p99_ms, one.between_p99_ms
    if calm is None or between is None:
        return float("inf")
    return between / max(_TIMES_CALM * calm, calm + _BEYOND_CALM_MS)


def _compared(weights: Sequence[Weight]) -> tuple[Weight, Weight]:
    return weights[min(1, len(weights) - 2)], weights[-1]


def _most_grown(weights: Sequence[Weight]) -> str:
    """The process that is so many megabytes heavier than it was."""
    first, last = _compared(weights)
    more = {name: mb - first.each_mb[name] for name, mb in last.each_mb.items() if name in first.each_mb}
    name = max(more, key=lambda one: more[one], default="nobody")
    return f"{name} most, by {more.get(name, 0):,.0f} MB"


def _shown(found: Soak) -> str:
    each = [
        f"{one.service} p99 {one.between_p99_ms or 0:,.0f} ms between, {one.calm_p99_ms or 0:,.0f} before the kills"
        for one in found.served
    ]
    requests, kills = sum(one.requests for one in found.served), sum(one.kills for one in found.served)
    lost, doubled = sum(one.lost for one in found.served), sum(one.doubled for one in found.served)
    heavier = f"{grown(found.weights):.2f} times as heavy ({_most_grown(found.weights)})"
    return f"{kills} kills, {lost} lost, {doubled} doubled of {requests:,}; {heavier}; {'; '.join(each)}"
