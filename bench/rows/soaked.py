"""The row of the soak: many kills under a steady load of both services."""

from __future__ import annotations

from collections.abc import Sequence

from bench.rows.row import Found, Place
from bench.soak import Served, Soak, Weight, soak
from models.base import Service

_RATES: dict[Service, float] = {"search": 100.0, "recommend": 1000.0}
_FEW: dict[Service, float] = {"search": 30.0, "recommend": 60.0}
_MINUTES, _EVERY_S = 10.0, 10.0
_QUICK_MINUTES, _QUICK_EVERY_S = 0.5, 3.0
_TIMES_CALM, _BEYOND_CALM_MS = 1.5, 20.0


def soaked(place: Place) -> Found:
    """Figures: lost, doubled, growth from the second weighing on, p99 between failovers by what it may be."""
    scene = place.stand.at("many", place.tell)
    rates, minutes, every_s = (_FEW, _QUICK_MINUTES, _QUICK_EVERY_S) if place.quick else (_RATES, _MINUTES, _EVERY_S)
    place.tell(f"a kill every {every_s:g} s for {minutes:g} minutes")
    found = soak(scene.settings, rates, minutes * 60, every_s)
    growth, p99 = grown(found.weights), max(map(beyond_calm, found.served))
    figures = {
        "lost": float(sum(one.lost for one in found.served)),
        "doubled": float(sum(one.doubled for one in found.served)),
        "growth": growth,
        "p99 between failovers, of what it may be": p99,
    }
    return Found(_shown(found, growth), figures, found)


def grown(weights: Sequence[Weight]) -> float:
    """How many times heavier workers, or supervisor and roles, are at the end than a minute after the beginning."""
    first, last = weights[min(1, len(weights) - 2)], weights[-1]
    return max(last.worker_mb / first.worker_mb, last.others_mb / first.others_mb)


def beyond_calm(one: Served) -> float:
    """Its p99 between failovers by the most it may be: 1.5 times, or 20 ms more than, the p99 before the first kill."""
    calm, between = one.calm_p99_ms, one.between_p99_ms
    if calm is None or between is None:
        return float("inf")
    return between / max(_TIMES_CALM * calm, calm + _BEYOND_CALM_MS)


def _shown(found: Soak, growth: float) -> str:
    each = [
        f"{one.service} p99 {one.between_p99_ms or 0:,.0f} ms between, {one.calm_p99_ms or 0:,.0f} before the kills"
        for one in found.served
    ]
    requests, kills = sum(one.requests for one in found.served), sum(one.kills for one in found.served)
    lost, doubled = sum(one.lost for one in found.served), sum(one.doubled for one in found.served)
    return (
        f"{kills} kills, {lost} lost, {doubled} doubled of {requests:,}; {growth:.2f} times as heavy; {'; '.join(each)}"
    )
