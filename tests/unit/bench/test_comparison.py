"""The summary of several rounds: each ratio is taken within a round, to what was measured in that round."""

from __future__ import annotations

from bench.beside.results import Limit, Run, Summary, summarised
from bench.timings import Timings


def run(contender: str, number: int, per_second: float, raw: float, **more: object) -> Run:
    limit = Limit(per_second=raw, p50_ms=10.0, p99_ms=12.0, others=0.0, sorted_per_second=2 * raw)
    given: dict[str, object] = {
        "service": "search", "load": "64 in flight", "in_flight": 64, "contender": contender, "round": number,
        "per_second": per_second, "p50_ms": 20.0, "p99_ms": 30.0, "raw": limit, "start_s": 1.0, "memory_mb": 100.0,
        "others": 0.0, "not_ok": 0, "doubled": 0,
    }  # fmt: skip
    return Run(**{**given, **more})  # type: ignore[arg-type]


def summary_of(runs: list[Run], contender: str, load: str = "64 in flight") -> Summary:
    return next(summary for summary in summarised(runs) if (summary.contender, summary.load) == (contender, load))


def test_a_ratio_is_taken_to_the_raw_limit_of_the_same_round() -> None:
    """Another load that halves the machine's speed in one round halves both figures, and the ratio stays."""
    summary = summary_of(
        [run("standfast", 1, 90, 100), run("standfast", 2, 45, 50), run("standfast", 3, 99, 100)], "standfast"
    )
    assert (summary.of_raw.min, summary.of_raw.median, summary.of_raw.max) == (0.9, 0.9, 0.99)
    assert (summary.per_second.min, summary.per_second.median, summary.per_second.max) == (45, 90, 99)


def test_the_raw_limit_has_a_line_of_its_own_from_all_its_runs() -> None:
    lines = summarised([run("standfast", 1, 90, 100), run("plain", 1, 80, 110)])
    assert [line.contender for line in lines] == ["raw", "standfast", "plain"]
    assert (lines[0].per_second.min, lines[0].per_second.max) == (100, 110)
    assert lines[0].of_raw.min == lines[0].of_raw.max == 1


def test_beyond_the_models_own_time_is_what_is_left_of_the_latency() -> None:
    summary = summary_of([run("plain", 1, 50, 100)], "plain")
    assert (summary.beyond_ms.median, summary.beyond_p99_ms.median, summary.times_raw.median) == (10, 20, 2)


def test_the_bare_loop_of_the_same_round_is_the_limit_where_there_is_one() -> None:
    runs = [
        run("standfast", 1, 60, 100),
        run("bare", 1, 100, 100, p50_ms=12.0),
        run("standfast", 2, 60, 100),
        run("bare", 2, 80, 100, p50_ms=15.0),
    ]
    beside = summary_of(runs, "standfast")
    assert beside.of_bare is not None
    assert (beside.of_bare.min, beside.of_bare.max) == (0.6, 0.75)
    assert beside.beyond_bare_ms is not None
    assert (beside.beyond_bare_ms.min, beside.beyond_bare_ms.max) == (5, 8)
    assert beside.times_bare_and_raw is not None
    assert (beside.times_bare_and_raw.min, beside.times_bare_and_raw.max) == (0.8, 0.909), "20 of 15 + 10, of 12 + 10"
    alone = summary_of([run("standfast", 1, 60, 100)], "standfast")
    assert alone.of_bare is alone.beyond_bare_ms is None


def test_short_requests_of_a_mixed_load_are_held_against_the_uniform_one_of_the_same_contender() -> None:
    runs = [
        run("standfast", 1, 90, 100, load="uniform", p99_ms=40.0),
        run("plain", 1, 90, 100, load="uniform", p99_ms=10.0),
        run("standfast", 1, 80, 100, load="mixed", short_p99_ms=60.0),
    ]
    mixed = summary_of(runs, "standfast", "mixed")
    assert mixed.of_sorted is not None
    assert mixed.short_times_uniform is not None
    assert (mixed.of_sorted.median, mixed.short_times_uniform.median) == (0.4, 1.5)


def test_what_went_wrong_in_any_round_is_counted() -> None:
    summary = summary_of([run("ray", 1, 9, 10, not_ok=2), run("ray", 2, 9, 10, doubled=1)], "ray")
    assert (summary.not_ok, summary.doubled) == (2, 1)


def test_quantiles_can_leave_the_long_requests_out() -> None:
    timings = Timings(seconds=[0.001, 0.9, 0.002], elapsed=1.5)
    assert (timings.per_second, timings.ms(0.99), timings.ms(0.99, without={1})) == (2.0, 900.0, 2.0)
