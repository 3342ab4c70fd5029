"""The rule adds workers only for a wait that lasts, removes them only after long idleness, and keeps its limits."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from consumers.channel.messages import LoadReport
from consumers.supervision.scaling import Rule, Sample, busy, decide, wait

RULE = Rule(fewest=1, most=8, wait=1.0, up_after=3.0, down_after=60.0, cooldown=15.0)
NOW = 10_000.0
LONG_AGO = 0.0


def load(
    waiting: int = 0, busy_s: float = 0.1, answered: int = 100, refused: int = 0, oldest_s: float = 0.0, parts: int = 2
) -> LoadReport:
    return LoadReport(
        partitions=parts,
        waiting=waiting,
        oldest_s=oldest_s,
        answered=answered,
        refused=refused,
        busy_s=busy_s,
        over_s=1.0,
    )


def history(*loads: LoadReport, seconds: int = 100) -> list[Sample]:
    """Samples of the last `seconds` in which every worker reported the same load."""
    return [Sample(NOW - ago, loads) for ago in range(seconds, -1, -1)]


FLOODED = load(waiting=1000, busy_s=1.0)
IDLE = load(busy_s=0.1)
EVEN = load(busy_s=0.7)

loads = st.builds(
    load,
    waiting=st.integers(0, 5000),
    busy_s=st.floats(0, 1),
    answered=st.integers(0, 2000),
    refused=st.integers(0, 200),
    oldest_s=st.floats(0, 100),
    parts=st.integers(0, 6),
)
rules = st.builds(
    lambda fewest, more, wait, up, down, cooldown: Rule(fewest, fewest + more, wait, up, down, cooldown),
    st.integers(1, 6), st.integers(0, 10), st.floats(0.01, 5), st.floats(0, 10), st.floats(1, 40), st.floats(1, 60),
)  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> list[Sample]:
    workers = draw(st.integers(1, 12))
    kinds = draw(st.lists(st.lists(loads, min_size=workers, max_size=workers), min_size=1, max_size=4))
    length = draw(st.integers(1, 60))
    return [Sample(NOW - ago, tuple(kinds[ago % len(kinds)])) for ago in range(length, -1, -1)]


@given(histories(), rules, st.floats(0, 100))
def test_no_step_leads_out_of_the_limits_or_is_taken_for_nothing(
    samples: list[Sample], rule: Rule, since_step: float
) -> None:
    workers = len(samples[-1].loads)
    step = decide(samples, rule, NOW, NOW - since_step)
    if step.by:
        assert rule.fewest <= workers + step.by <= rule.most
        assert step.reason
        assert step.cause != "none"
    if rule.fewest <= workers <= rule.most:
        assert workers // 2 <= workers + step.by <= 2 * workers
        assert not step.by or since_step >= rule.cooldown
    else:
        assert step.cause == "limits"


@given(histories(), rules)
def test_more_only_after_a_wait_that_lasted_and_fewer_only_after_leisure_that_did(
    samples: list[Sample], rule: Rule
) -> None:
    step = decide(samples, rule, NOW, LONG_AGO)
    lately = [sample for sample in samples if sample.at >= NOW - rule.up_after]
    if step.cause == "backlog":
        assert all(wait(sample) > rule.wait for sample in lately)
        assert samples[0].at <= NOW - rule.up_after
    if step.cause == "idle":
        left = len(samples[-1].loads) + step.by
        quiet = [sample for sample in samples if sample.at >= NOW - rule.down_after]
        assert samples[0].at <= NOW - rule.down_after
        assert all(wait(sample) <= rule.wait for sample in quiet)
        for begin in range(0, len(quiet) - 9, 10):
            assert sum(busy(sample) for sample in quiet[begin : begin + 10]) / 10 < 0.5 * left + 1e-9


@given(histories(), rules, st.integers(1, 5000))
def test_a_longer_backlog_never_leads_to_fewer_workers(samples: list[Sample], rule: Rule, more: int) -> None:
    longer = [
        Sample(
            sample.at,
            tuple(
                LoadReport(**{**as_fields(report), "waiting": (report.waiting or 0) + more}) for report in sample.loads
            ),
        )
        for sample in samples
    ]
    assert decide(longer, rule, NOW, LONG_AGO).by >= decide(samples, rule, NOW, LONG_AGO).by


def as_fields(report: LoadReport) -> dict[str, object]:
    return {name: getattr(report, name) for name in report.__struct_fields__}


def test_nothing_is_known_at_first() -> None:
    assert decide([], RULE, NOW, LONG_AGO).by == 0


def test_a_backlog_that_lasts_doubles_the_workers_at_most() -> None:
    step = decide(history(FLOODED, FLOODED), RULE, NOW, LONG_AGO)
    assert (step.by, step.cause) == (2, "backlog")
    assert "10.0 s" in step.reason


def test_a_backlog_a_little_too_long_adds_one() -> None:
    slightly = load(waiting=120, busy_s=1.0)
    assert decide(history(*[slightly] * 4), RULE, NOW, LONG_AGO).by == 1


def test_a_backlog_that_does_not_last_adds_nobody() -> None:
    samples = history(EVEN, EVEN)
    samples[-1] = Sample(NOW, (FLOODED, FLOODED))
    assert decide(samples, RULE, NOW, LONG_AGO).by == 0
    assert decide(history(FLOODED, FLOODED, seconds=2), RULE, NOW, LONG_AGO).by == 0, "it is not known for long enough"


def test_many_requests_that_are_quickly_answered_add_nobody() -> None:
    quick = load(waiting=900, busy_s=0.5, answered=5000)
    assert decide(history(quick), RULE, NOW, LONG_AGO).by == 0


def test_a_batch_that_takes_for_ever_counts_by_the_age_of_what_waits() -> None:
    stuck = load(waiting=3, busy_s=0.0, answered=0, oldest_s=4.0)
    assert decide(history(stuck), RULE, NOW, LONG_AGO).cause == "backlog"


def test_requests_refused_for_want_of_time_add_workers_though_no_backlog_is_left() -> None:
    refusing = load(busy_s=1.0, answered=100, refused=60)
    assert decide(history(refusing), RULE, NOW, LONG_AGO).cause == "refusals"
    late = load(busy_s=0.2, answered=100, refused=60)
    assert decide(history(late), RULE, NOW, LONG_AGO).by == 0, "they came too late, and workers have time to spare"


def test_a_worker_with_a_single_partition_cannot_be_helped() -> None:
    assert decide(history(replace_partitions(FLOODED, 1), EVEN), RULE, NOW, LONG_AGO).by == 0


def replace_partitions(report: LoadReport, partitions: int) -> LoadReport:
    return LoadReport(**{**as_fields(report), "partitions": partitions})  # type: ignore[arg-type]


def test_the_most_allowed_are_the_most() -> None:
    step = decide(history(*[FLOODED] * 8), RULE, NOW, LONG_AGO)
    assert step.by == 0
    assert "8 workers are the most allowed" in step.reason


def test_leisure_that_lasts_halves_the_workers_at_most() -> None:
    step = decide(history(*[IDLE] * 6), RULE, NOW, LONG_AGO)
    assert (step.by, step.cause) == (-3, "idle")


def test_nobody_goes_whose_work_the_others_would_hardly_have_time_for() -> None:
    assert decide(history(load(busy_s=0.3), load(busy_s=0.3)), RULE, NOW, LONG_AGO).by == 0
    assert decide(history(load(busy_s=0.2), load(busy_s=0.2)), RULE, NOW, LONG_AGO).by == -1


def test_leisure_that_was_interrupted_takes_nobody_away() -> None:
    samples = history(IDLE, IDLE)
    samples[60:70] = [Sample(sample.at, (EVEN, EVEN)) for sample in samples[60:70]]
    assert decide(samples, RULE, NOW, LONG_AGO).by == 0


def test_one_busy_second_in_a_long_leisure_does_not_count() -> None:
    samples = history(IDLE, IDLE)
    samples[60] = Sample(samples[60].at, (EVEN, EVEN))
    assert decide(samples, RULE, NOW, LONG_AGO).by == -1


def test_a_step_has_time_to_show() -> None:
    assert decide(history(FLOODED), RULE, NOW, NOW - 14.0).by == 0
    assert decide(history(FLOODED), RULE, NOW, NOW - 15.0).by == 1


def test_limits_that_have_changed_are_kept_at_once() -> None:
    assert decide(history(EVEN, seconds=0), replace(RULE, fewest=3), NOW, NOW).by == 2
    assert decide(history(*[EVEN] * 6, seconds=0), replace(RULE, most=4), NOW, NOW).by == -2
