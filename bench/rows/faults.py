"""Rows of strikes under load: how long until somebody else answers, or how long anybody waits."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from bench.failover.campaign import Failover, failover
from bench.figures import quantile
from bench.rows.row import Measurement, RowContext, Threshold
from bench.rows.shared_system import Kind
from bench.system_process import SystemProcess

NOTHING_LOST = (Threshold("lost", 0), Threshold("doubled", 0))
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Strikes:
    """So many strikes of one kind at so many searches a second."""

    strike: str
    on: Kind
    times: int
    quick: int
    rate: float = 100.0

    def __call__(self, context: RowContext) -> Measurement:
        """Figures in milliseconds: median, p99 and worst of what the strike is judged by; lost and doubled answers."""
        found = self.struck(context)
        times = f"{found.median_ms:,.1f} / {found.p99_ms:,.1f} / {found.worst_ms:,.1f} ms"
        return Measurement(
            f"{times} (median / p99 / worst of {found.strikes} at {found.rate:g}/s); {counted(found)}",
            {"median": found.median_ms, "p99": found.p99_ms, "worst": found.worst_ms, **losses(found)},
            found,
        )

    def struck(self, context: RowContext) -> Failover:
        """All that is known of them."""
        scene = context.shared.at(self.on, context.tell)
        times = self.quick if context.quick else self.times
        context.tell(f"{times} times {self.strike}")
        return failover(scene, self.strike, times, self.rate, _PAUSE_S)


class Refilled(msgspec.Struct, frozen=True, kw_only=True):
    """Kills, and of each takeover how long the supervisor saw it take."""

    failover: Failover
    active_ms: list[float]


@dataclass(frozen=True, slots=True)
class Refill:
    """Strikes by which standbys are spent."""

    strikes: Strikes

    def __call__(self, context: RowContext) -> Measurement:
        """Figures: `active`, from the death until the standby has its partitions; `next ready` and the system whole."""
        scene = context.shared.at(self.strikes.on, context.tell)
        before = len(scene.place.takeovers_ms()) if isinstance(scene.place, SystemProcess) else 0
        found = self.strikes.struck(context)
        active = scene.place.takeovers_ms()[before:] if isinstance(scene.place, SystemProcess) else []
        figures = {"next ready, worst": max(found.whole_ms), **losses(found)}
        if active:
            figures["active, median"] = quantile(active, 0.5)
        told = f"active after {_three(active)} ms, next ready after {_three(found.whole_ms)} ms"
        return Measurement(
            f"{told} (median / p99 / worst of {found.strikes}); {counted(found)}",
            figures,
            Refilled(failover=found, active_ms=active),
        )


def losses(found: Failover) -> dict[str, float]:
    """What must be nothing."""
    return {"lost": found.lost, "doubled": found.doubled}


def counted(found: Failover) -> str:
    """The same in words."""
    return f"{found.lost} lost, {found.doubled} doubled of {found.requests:,}"


def _three(values: list[float]) -> str:
    if not values:
        return "?"
    return " / ".join(f"{one:,.0f}" for one in (quantile(values, 0.5), quantile(values, 0.99), max(values)))
