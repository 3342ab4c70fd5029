"""Rows of single kills: beside what the takeover costs Kafka's client alone, and in the first minute after a start."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from bench.beside.results import spread
from bench.failover.bare_takeover import bare_takeovers
from bench.failover.campaign import Failover, failover
from bench.figures import quantile
from bench.rows.faults import Strikes, losses, losses_in_words
from bench.rows.row import Measurement, RowContext, shown

_BARE_ROUNDS, _QUICK_BARE_ROUNDS = 20, 3
_FIRST_KILLS, _QUICK_FIRST_KILLS = 20, 3  # twenty take a minute
_FIRST_RATE = 50.0
# Two workers share the kills: at a pause of a second some die five times in a row within 3 s of their takeover, which
# the supervisor takes for a crash loop and waits.
KILL_PAUSE_S = 2.0


class BesideBare(msgspec.Struct, frozen=True, kw_only=True):
    """Kills under load, and the milliseconds of each bare takeover on the same Kafka right after them."""

    failover: Failover
    bare_ms: list[float]


@dataclass(frozen=True, slots=True)
class Kills:
    """Kills of a worker, which nobody announces, beside bare takeovers."""

    strikes: Strikes

    def __call__(self, context: RowContext) -> Measurement:
        """Figures: those of the strikes, the median beyond the bare takeovers', and the p99 by the median."""
        result = self.strikes.strike_all(context)
        context.tell("bare takeovers beside it")
        system = context.shared.running(self.strikes.on, context.tell)
        bare_ms = bare_takeovers(system.settings, _QUICK_BARE_ROUNDS if context.quick else _BARE_ROUNDS)
        bare = spread(bare_ms, 1)
        figures = {
            "median": result.median_ms,
            "p99": result.p99_ms,
            "median beyond bare": round(result.median_ms - bare.median, 1),
            "p99 by the median": round(result.p99_ms / result.median_ms, 2),
            **losses(result),
        }
        times = f"{result.median_ms:,.1f} / {result.p99_ms:,.1f} / {result.worst_ms:,.1f} ms"
        return Measurement(
            f"{times} (median / p99 / worst of {result.strikes} at {result.rate:g}/s), {figures['median beyond bare']} "
            f"beyond bare ({shown(bare, 1)}); {losses_in_words(result)}",
            figures,
            BesideBare(failover=result, bare_ms=[round(ms, 1) for ms in bare_ms]),
        )


class FirstMinute(msgspec.Struct, frozen=True, kw_only=True):
    """The same kills in the first minute after the system was ready, and once it is warm."""

    first: Failover
    warm: Failover


def measure_first_minute(context: RowContext) -> Measurement:
    """Kills that begin as soon as a new system is ready, then as many on the same system once it is warm."""
    times = _QUICK_FIRST_KILLS if context.quick else _FIRST_KILLS
    system = context.shared.fresh("whole", context.tell)
    context.tell(f"{times} kills in its first minute")
    first = failover(system, "kill", times, _FIRST_RATE, KILL_PAUSE_S)
    context.shared.warm_up(context.tell)
    context.tell(f"{times} kills once it is warm")
    warm = failover(system, "kill", times, _FIRST_RATE, KILL_PAUSE_S)
    by_warm = round(first.median_ms / warm.median_ms, 2)
    figures = {"median by the warm one": by_warm, "p99": first.p99_ms}
    lost = {name: count + losses(warm)[name] for name, count in losses(first).items()}
    worst = quantile(first.figure_ms, 1.0)
    return Measurement(
        f"{first.median_ms:,.1f} / {first.p99_ms:,.1f} / {worst:,.1f} ms (median / p99 / worst of {times}), {by_warm} "
        f"times the warm {warm.median_ms:,.1f}; usual p50 {first.usual_p50_ms} ms; {losses_in_words(first)}",
        {**figures, **lost},
        FirstMinute(first=first, warm=warm),
    )
