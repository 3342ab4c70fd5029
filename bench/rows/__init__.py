"""The table of figures to reach: each row names how it is measured and the thresholds of its figures.

Where a machine's own speed enters, a threshold is a ratio to what was measured of that machine in the same run.

`python -m standfast bench all` measures them; a new row is an entry here.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.rows.beside import SideBySide
from bench.rows.faults import NOTHING_LOST, Refill, Strikes
from bench.rows.row import Row, Threshold
from bench.rows.soak import measure_soak
from bench.rows.steady import measure_memory, measure_overload, measure_quality, measure_startup
from bench.rows.takeovers import KILL_PAUSE_S, Kills, measure_first_minute
from standfast.core.errors import UsageError

_ALL_WELL = Threshold("wrong", 0)
_ONE_IN_FLIGHT = (Threshold("p50 of bare and raw", 1.15), _ALL_WELL)
_ONE_FIGURES = ("p50 of bare and raw", "p50 beyond raw", "p99 beyond raw", "p50 beyond bare")

# Rows on the same system are adjacent, so that it is started once.
ROWS = (
    Row(
        "kill", "SIGKILL of a worker, until its partitions' next answer",
        Kills(Strikes("kill", "whole", 100, 3, pause_s=KILL_PAUSE_S)),
        (Threshold("median beyond bare", 25, "ms"), Threshold("p99 by the median", 2), *NOTHING_LOST),
    ),
    Row(
        "first-minute", "the same kills as soon as a new system is ready, under 50 searches a second",
        measure_first_minute, (Threshold("median by the warm one", 2), Threshold("p99", 250, "ms"), *NOTHING_LOST),
    ),
    Row(
        "hang", "SIGSTOP of a worker, the same; it wakes up later",
        Strikes("hang", "whole", 20, 2), (Threshold("p99", 800, "ms"), *NOTHING_LOST),
    ),
    Row(
        "two", "SIGKILL of two workers at once",
        Strikes("two", "whole", 20, 2), (Threshold("p99", 1000, "ms"), *NOTHING_LOST),
    ),
    Row(
        "standby", "SIGKILL of a worker and of the standby that takes over",
        Strikes("standby", "whole", 20, 2), (Threshold("p99", 1000, "ms"), *NOTHING_LOST),
    ),
    Row(
        "stop", "SIGTERM of one worker after the other: longest pause",
        Strikes("stop", "whole", 20, 2), (Threshold("worst", 100, "ms"), *NOTHING_LOST),
    ),
    Row(
        "refill", "a spent standby: until it is active, Kafka's part included; until the next is ready",
        Refill(Strikes("kill", "whole", 20, 2)),
        (Threshold("active, median", 50, "ms"), Threshold("next ready, worst", 1000, "ms"), *NOTHING_LOST),
    ),
    Row(
        "overload", "three times the searches it can compute",
        measure_overload, (Threshold("in time, of capacity", 0.9, at_least=True), *NOTHING_LOST),
    ),
    Row("memory", "a worker's or standby's proportional set size", measure_memory, (Threshold("largest", 200, "MB"),)),
    Row(
        "broker", "SIGKILL of one broker of three: longest pause",
        Strikes("broker", "three brokers", 8, 1, rate=30), (Threshold("worst", 2000, "ms"), *NOTHING_LOST),
    ),
    Row(
        "controller", "the same, of the active controller",
        Strikes("controller", "three brokers", 8, 1, rate=30), (Threshold("worst", 3000, "ms"), *NOTHING_LOST),
    ),
    Row(
        "supervisor", "SIGKILL of the supervisor and a new start: from its model's load",
        Strikes("supervisor", "supervisor", 6, 1), (Threshold("worst", 3000, "ms"), *NOTHING_LOST),
    ),
    Row(
        "host", "SIGKILL of one of two supervisors on the same topics",
        Strikes("host", "two hosts", 6, 1), (Threshold("worst", 2000, "ms"), *NOTHING_LOST),
    ),
    Row(
        "one-search", "one search in flight, exactly once",
        SideBySide("search", 1, _ONE_FIGURES), _ONE_IN_FLIGHT,
    ),
    Row(
        "one-recommend", "one recommendation in flight, exactly once",
        SideBySide("recommend", 1, _ONE_FIGURES), _ONE_IN_FLIGHT,
    ),
    Row(
        "mix", "64 searches in flight, one in ten nine times longer",
        SideBySide("search", 64, ("of sorted", "short p99 of uniform"), mix="long"),
        (Threshold("of sorted", 0.8, at_least=True), Threshold("short p99 of uniform", 2), _ALL_WELL),
    ),
    Row(
        "many-search", "64 searches in flight",
        SideBySide("search", 64, ("of raw",)),
        (
            Threshold("of raw", 0.95, at_least=True),
            Threshold("times litserve-usual", 2, at_least=True, peer="litserve-usual"),
            _ALL_WELL,
        ),
    ),
    Row(
        "many-recommend", "512 recommendations in flight",
        SideBySide("recommend", 512, ("of bare",)), (Threshold("of bare", 0.7, at_least=True), _ALL_WELL),
    ),
    Row(
        "quality", "what the precision that serves costs in nDCG@10",
        measure_quality, (Threshold("nDCG@10 lost", 0.002),),
    ),
    Row(
        "startup",
        "from `standfast up` to both services' first answers",
        measure_startup,
        (Threshold("of Kafka and model alone", 1.3),),
    ),
    Row(
        "soak", "8 workers, 64 partitions, 100 searches and 1,000 recommendations a second, one kill after the other",
        measure_soak,
        (*NOTHING_LOST, Threshold("growth", 1.1), Threshold("p99 between failovers, of what it may be", 1)),
    ),
)  # fmt: skip


def chosen(names: str | None) -> Sequence[Row]:
    """The rows of a list such as `kill,hang`, in the table's order, or all; raises UsageError for a wrong name."""
    if names is None:
        return ROWS
    asked = [name.strip() for name in names.split(",")]
    wrong = [name for name in asked if name not in {row.name for row in ROWS}]
    if wrong:
        raise UsageError(f"--only {','.join(wrong)}: there are {', '.join(row.name for row in ROWS)}")
    return [row for row in ROWS if row.name in asked]
