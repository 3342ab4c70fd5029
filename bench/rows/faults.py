"""Rows of faults under load: the time until a successor answers, or the longest pause of any request."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from bench.failover.campaign import Failover, failover
from bench.figures import quantile
from bench.rows.row import Measurement, RowContext, Threshold
from bench.rows.shared_system import Kind
from bench.system_process import SystemProcess

NOTHING_LOST = (Threshold("lost", 0), Threshold("doubled", 0))


@dataclass(frozen=True, slots=True)
class Strikes:
    """`times` strikes of one kind (`quick` with --quick) under `rate` searches per second, on the system `on`.

    `pause_s`: between two strikes, on average.
    """

    strike: str
    on: Kind
    times: int
    quick: int
    rate: float = 100.0
    pause_s: float = 1.0

    def __call__(self, context: RowContext) -> Measurement:
        """Milliseconds: median, p99 and worst of the strike's figure; and the counts of lost and doubled answers."""
        result = self.strike_all(context)
        times = f"{result.median_ms:,.1f} / {result.p99_ms:,.1f} / {result.worst_ms:,.1f} ms"
        return Measurement(
            f"{times} (median / p99 / worst of {result.strikes} at {result.rate:g}/s); {losses_in_words(result)}",
            {"median": result.median_ms, "p99": result.p99_ms, "worst": result.worst_ms, **losses(result)},
            result,
        )

    def strike_all(self, context: RowContext) -> Failover:
        """Runs the strikes and returns all their figures."""
        system = context.shared.running(self.on, context.tell)
        times = self.quick if context.quick else self.times
        context.tell(f"{times} times {self.strike}")
        return failover(system, self.strike, times, self.rate, self.pause_s)


class Refilled(msgspec.Struct, frozen=True, kw_only=True):
    """Kills, and the duration of each takeover as the supervisor logged it."""

    failover: Failover
    active_ms: list[float]


@dataclass(frozen=True, slots=True)
class Refill:
    """Strikes that each use up a standby."""

    strikes: Strikes

    def __call__(self, context: RowContext) -> Measurement:
        """Figures: `active`, from the death until the standby has the partitions; `next ready`, until full strength."""
        system = context.shared.running(self.strikes.on, context.tell)
        before = len(system.control.takeovers_ms()) if isinstance(system.control, SystemProcess) else 0
        result = self.strikes.strike_all(context)
        active = system.control.takeovers_ms()[before:] if isinstance(system.control, SystemProcess) else []
        figures = {"next ready, worst": max(result.whole_ms), **losses(result)}
        if active:
            figures["active, median"] = quantile(active, 0.5)
        text = f"active after {_three(active)} ms, next ready after {_three(result.whole_ms)} ms"
        return Measurement(
            f"{text} (median / p99 / worst of {result.strikes}); {losses_in_words(result)}",
            figures,
            Refilled(failover=result, active_ms=active),
        )


def losses(result: Failover) -> dict[str, float]:
    """The figures that must be 0."""
    return {"lost": result.lost, "doubled": result.doubled}


def losses_in_words(result: Failover) -> str:
    """The numbers of lost and doubled answers and of requests, in words."""
    return f"{result.lost} lost, {result.doubled} doubled of {result.requests:,}"


def _three(values: list[float]) -> str:
    if not values:
        return "?"
    return " / ".join(f"{ms:,.0f}" for ms in (quantile(values, 0.5), quantile(values, 0.99), max(values)))
