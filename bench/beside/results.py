"""The results of a comparison: every run as it was measured, and summaries over the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import msgspec

from bench.figures import Machine


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """The raw limit, measured right before a contender: only the model on the same requests.

    `sorted_per_second`: with the requests sorted by length; None for a load without long requests. `others`: cores that
    other processes used meanwhile.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    others: float
    sorted_per_second: float | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One contender under one load in one round. `others`: cores that other processes used meanwhile.

    `short_p99_ms` leaves the long requests out. `memory_mb` is the proportional set size of all its processes.
    """

    service: str
    load: str
    in_flight: int
    contender: str
    round: int
    per_second: float
    p50_ms: float
    p99_ms: float
    raw: Limit
    start_s: float
    memory_mb: float
    others: float
    not_ok: int
    doubled: int
    short_p99_ms: float | None = None


class Spread(msgspec.Struct, frozen=True):
    """Minimum, median and maximum of a figure over several rounds."""

    min: float
    median: float
    max: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """All rounds of one contender under one load; ratios and differences are taken within a round.

    `of_raw`, `of_sorted`, `of_bare`: answers per second divided by those of the raw limit, of the raw limit on sorted
    requests, of the bare loop. `times_raw`: p50 divided by the raw limit's. `beyond_ms`, `beyond_p99_ms`: p50 and p99
    minus the raw limit's p50. `beyond_bare_ms`: p50 minus the bare loop's; `times_bare_and_raw`: p50 divided by the sum
    of the bare loop's and the raw limit's. `short_times_uniform`: p99 of the short requests divided by the p99 under a
    uniform load.
    """

    service: str
    load: str
    in_flight: int
    contender: str
    per_second: Spread
    p50_ms: Spread
    p99_ms: Spread
    of_raw: Spread
    times_raw: Spread
    beyond_ms: Spread
    beyond_p99_ms: Spread
    start_s: Spread
    memory_mb: Spread
    others: Spread
    not_ok: int
    doubled: int
    of_sorted: Spread | None = None
    of_bare: Spread | None = None
    beyond_bare_ms: Spread | None = None
    times_bare_and_raw: Spread | None = None
    short_p99_ms: Spread | None = None
    short_times_uniform: Spread | None = None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The report; `settings` are the conditions in words, `failures` which contender failed in which round, and why."""

    machine: Machine
    settings: dict[str, str]
    summary: list[Summary]
    runs: list[Run]
    failures: list[str] = []


RAW, BARE, UNIFORM = "raw", "bare", "uniform"


def summarised(runs: Sequence[Run]) -> list[Summary]:
    """A summary for each contender and load, the raw limit's first, in the order they were first measured."""
    summaries: list[Summary] = []
    for service, load in dict.fromkeys((run.service, run.load) for run in runs):
        load_runs = [run for run in runs if (run.service, run.load) == (service, load)]
        summaries.append(_of(RAW, [_as_run(run) for run in load_runs], runs))
        names = dict.fromkeys(run.contender for run in load_runs)
        summaries += [_of(name, [run for run in load_runs if run.contender == name], runs) for name in names]
    return summaries


def spread(values: Iterable[float], digits: int = 3) -> Spread:
    """The spread of these values, rounded to `digits` decimals."""
    kept = list(values)
    return Spread(*(round(value, digits) for value in (min(kept), statistics.median(kept), max(kept))))


def _of(name: str, contender_runs: list[Run], runs: Sequence[Run]) -> Summary:
    by_sorted = [run.per_second / limit for run in contender_runs if (limit := run.raw.sorted_per_second)]
    by_bare = [run.per_second / bare for run in contender_runs if (bare := _bare(run, runs, "per_second"))]
    by_both = [run.p50_ms / (bare + run.raw.p50_ms) for run in contender_runs if (bare := _bare(run, runs, "p50_ms"))]
    past_bare = [run.p50_ms - bare for run in contender_runs if (bare := _bare(run, runs, "p50_ms"))]
    short = [run.short_p99_ms for run in contender_runs if run.short_p99_ms is not None]
    by_uniform = [
        run.short_p99_ms / uniform_p99
        for run in contender_runs
        if run.short_p99_ms and (uniform_p99 := _uniform_p99(run, runs))
    ]
    return Summary(
        service=contender_runs[0].service,
        load=contender_runs[0].load,
        in_flight=contender_runs[0].in_flight,
        contender=name,
        per_second=spread((run.per_second for run in contender_runs), 1),
        p50_ms=spread((run.p50_ms for run in contender_runs), 2),
        p99_ms=spread((run.p99_ms for run in contender_runs), 2),
        of_raw=spread(run.per_second / run.raw.per_second for run in contender_runs),
        times_raw=spread(run.p50_ms / run.raw.p50_ms for run in contender_runs),
        beyond_ms=spread((run.p50_ms - run.raw.p50_ms for run in contender_runs), 2),
        beyond_p99_ms=spread((run.p99_ms - run.raw.p50_ms for run in contender_runs), 2),
        start_s=spread((run.start_s for run in contender_runs), 2),
        memory_mb=spread((run.memory_mb for run in contender_runs), 0),
        others=spread((run.others for run in contender_runs), 2),
        not_ok=sum(run.not_ok for run in contender_runs),
        doubled=sum(run.doubled for run in contender_runs),
        of_sorted=spread(by_sorted) if by_sorted else None,
        of_bare=spread(by_bare) if by_bare else None,
        beyond_bare_ms=spread(past_bare, 2) if past_bare else None,
        times_bare_and_raw=spread(by_both) if by_both else None,
        short_p99_ms=spread(short, 2) if short else None,
        short_times_uniform=spread(by_uniform) if by_uniform else None,
    )


def _as_run(run: Run) -> Run:
    """The raw limit that was measured before this run, in the form of a run."""
    raw = run.raw
    return msgspec.structs.replace(
        run, contender=RAW, per_second=raw.per_second, p50_ms=raw.p50_ms, p99_ms=raw.p99_ms, others=raw.others,
        start_s=0.0, memory_mb=0.0, not_ok=0, doubled=0, short_p99_ms=None,
    )  # fmt: skip


def _bare(run: Run, runs: Sequence[Run], figure: str) -> float | None:
    """A figure of the bare loop under the same load in the same round; None if it was not measured."""
    return _same(run, runs, BARE, run.load, figure)


def _uniform_p99(run: Run, runs: Sequence[Run]) -> float | None:
    """The same contender's p99 under the uniform load in the same round; None if it was not measured."""
    return _same(run, runs, run.contender, UNIFORM, "p99_ms")


def _same(run: Run, runs: Sequence[Run], contender: str, load: str, figure: str) -> float | None:
    for other in runs:
        if (other.service, other.round, other.contender, other.load) == (run.service, run.round, contender, load):
            return float(getattr(other, figure))
    return None
