"""The rows of figures to reach: their names, when one is reached, and what is shown if it cannot be measured."""

from __future__ import annotations

import math
from typing import cast

import pytest

from bench.beside.results import Spread
from bench.failover.soak import ServiceSoak, Soak, Weight
from bench.failover.warm_up import WarmUp
from bench.rows import ROWS, chosen
from bench.rows import soak as soaking
from bench.rows.faults import Strikes
from bench.rows.outcome import RowOutcome, judged
from bench.rows.row import Figure, Measurement, Row, RowContext, Threshold
from bench.rows.run import each
from bench.rows.shared_system import SharedSystem
from bench.rows.soak import beyond_calm, grown
from bench.rows.takeovers import Kills
from consumers.service import service
from drills.faults import FAULTS
from drills.faults.running_system import RunningSystem
from standfast.core.errors import ClusterError, UsageError
from standfast.core.settings import Settings

TAKEOVERS = {"kill", "hang", "two", "standby", "stop", "broker", "controller", "supervisor", "host"}
MEDIAN, LOST = Threshold("median", 50, "ms"), Threshold("lost", 0)


def row(name: str = "kill", *aims: Threshold, measurement: Measurement | Exception | None = None) -> Row:
    def measure(_context: RowContext) -> Measurement:
        if isinstance(measurement, Exception):
            raise measurement
        return measurement or Measurement("nothing", {})

    return Row(name, f"what {name} is", measure, aims or (MEDIAN, LOST))


def outcome(figures: dict[str, Figure], *aims: Threshold, peers: str = "raw") -> RowOutcome:
    return judged(row("kill", *aims), Measurement("38 ms", figures), peers, 0.1, 2.0)


def test_every_row_has_a_name_of_its_own_and_something_to_reach() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(row.aims for row in ROWS)


def test_every_takeover_is_a_row() -> None:
    """Not each fault of a drill ends in a takeover, whose time is what the benchmark measures."""
    measures = [row.measure.strikes if isinstance(row.measure, Kills) else row.measure for row in ROWS]
    assert {measure.strike for measure in measures if isinstance(measure, Strikes)} == TAKEOVERS
    assert set(FAULTS) >= TAKEOVERS


def test_rows_are_chosen_by_name_in_the_order_of_the_table() -> None:
    assert [row.name for row in chosen("hang, kill")] == ["kill", "hang"]
    assert list(chosen(None)) == list(ROWS)


def test_a_wrong_name_is_told_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"--only kil,nap: there are kill, first-minute, .*soak"):
        chosen("kil,hang,nap")


def test_a_row_is_reached_when_each_of_its_figures_is() -> None:
    result = outcome({"median": 50.0, "lost": 0})
    assert (result.reached, result.reason, result.to_reach) == (True, "", "median ≤ 50 ms, 0 lost")


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ({"median": 50.1, "lost": 0}, "missed: median ≤ 50 ms"),
        ({"median": 50.1, "lost": 1}, "missed: median ≤ 50 ms; missed: 0 lost"),
        ({"median": math.inf, "lost": 0}, "missed: median ≤ 50 ms"),
        ({"lost": 0}, "median was not measured"),
    ],
)
def test_a_missed_row_says_which_figure_missed(figures: dict[str, Figure], reason: str) -> None:
    result = outcome(figures)
    assert (result.reached, result.reason) == (False, reason)


def test_of_several_rounds_the_median_counts() -> None:
    share = Threshold("of raw", 0.95, at_least=True)
    assert outcome({"of raw": Spread(0.5, 0.96, 0.97)}, share).reached
    assert not outcome({"of raw": Spread(0.5, 0.94, 0.99)}, share).reached


@pytest.mark.parametrize(
    ("peers", "reached"), [("raw", True), ("litserve", False), ("plain,litserve", False), ("all", False)]
)
def test_a_peer_is_compared_with_only_where_it_was_asked_for(peers: str, reached: bool) -> None:
    aims = Threshold("of raw", 0.9, at_least=True), Threshold("times litserve", 2, at_least=True, peer="litserve")
    result = outcome({"of raw": 0.95, "times litserve": 1.9}, *aims, peers=peers)
    assert (result.reached, "litserve" in result.to_reach) == (reached, not reached)


def test_what_could_not_be_measured_beside_it_is_a_reason_too() -> None:
    result = judged(
        row(), Measurement("38 ms", {"median": 38.0, "lost": 0}, trouble=("round 2: no memory",)), "raw", 0, 1
    )
    assert (result.reached, result.reason) == (False, "round 2: no memory")


class FakeSharedSystem:
    """A shared system that only counts how often it was cleared."""

    times = 0

    def clear(self) -> None:
        self.times += 1


def run(*rows: Row) -> tuple[list[RowOutcome], FakeSharedSystem, list[str]]:
    stand, messages = FakeSharedSystem(), list[str]()
    return each(rows, lambda _: RowContext(cast("SharedSystem", stand), True, "raw", messages.append)), stand, messages


def test_a_row_that_cannot_be_measured_says_why_and_the_others_are() -> None:
    well = Measurement("38 ms", {"median": 38.0, "lost": 0})
    outcomes, stand, messages = run(
        row("first", measurement=ClusterError("Kafka is gone")), row("second", measurement=well)
    )
    assert [(outcome.name, outcome.reached, outcome.reason) for outcome in outcomes] == [
        ("first", False, "Kafka is gone"), ("second", True, ""),
    ]  # fmt: skip
    assert outcomes[0].measured == "not measured"
    assert stand.times == 1, "the next row does not begin on a system that the first may have broken"
    assert messages[0] == "1 of 2, what first is"


def test_an_error_that_nobody_foresaw_is_told_with_its_kind() -> None:
    outcomes, _, _ = run(row(measurement=ProcessLookupError(3, "No such process")))
    assert outcomes[0].reason == "ProcessLookupError: [Errno 3] No such process"


def test_whoever_interrupts_ends_all_of_it() -> None:
    def interrupted(_context: RowContext) -> Measurement:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Row("kill", "", interrupted, (MEDIAN,)), row())


def weights(*workers_and_others: tuple[float, float]) -> list[Weight]:
    return [
        Weight(
            after_s=60.0 * at,
            worker_mb=worker_mb,
            others_mb=others_mb,
            kafka_mb=500,
            each_mb={"supervisor": others_mb, "drills": 9},
        )
        for at, (worker_mb, others_mb) in enumerate(workers_and_others)
    ]


def served(calm: float, between: float) -> ServiceSoak:
    return ServiceSoak(
        service="search", rate=1, requests=90, kills=1, failover_p50_ms=1, failover_p99_ms=1, calm_p50_ms=1,
        calm_p99_ms=calm, between_p50_ms=1, between_p99_ms=between, lost=0, doubled=0, out_of_order=0, not_ok={},
    )  # fmt: skip


def test_what_is_weighed_before_it_is_warm_is_no_measure_of_growth() -> None:
    assert grown(weights((50, 100), (100, 100), (105, 100), (110, 100))) == pytest.approx(1.1)
    assert grown(weights((100, 100), (100, 250))) == 2.5, (
        "supervisor and roles grow too; a short soak has two weighings"
    )


@pytest.mark.parametrize(("calm", "between", "reached"), [(10.0, 30.0, 1.0), (100.0, 150.0, 1.0), (100.0, 300.0, 2.0)])
def test_between_failovers_p99_may_be_half_as_much_again_or_20_ms_more(
    calm: float, between: float, reached: float
) -> None:
    assert beyond_calm(served(calm, between)) == pytest.approx(reached)


@pytest.mark.parametrize(("settled", "reason"), [(True, ""), (False, "latency had not settled")])
def test_p99_is_not_compared_with_that_of_a_backlog(
    settled: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    soak = Soak(
        warm_up=WarmUp(9.0, settled), seconds=120, every_s=10, workers=8, served=[served(10.0, 12.0)],
        weights=weights((100, 100), (100, 100), (100, 101)),
    )  # fmt: skip
    monkeypatch.setattr(soaking, "soak", lambda *_: soak)
    monkeypatch.setattr(
        FakeSharedSystem, "running", lambda *_: RunningSystem(Settings(), service("search", Settings())), raising=False
    )
    (row,) = [row for row in ROWS if row.name == "soak"]
    (outcome,), _, _ = run(row)
    assert outcome.reason.startswith(reason)
    assert outcome.reached == settled
    assert "1 kills, 0 lost, 0 doubled of 90; 1.01 times as heavy (supervisor most, by 1 MB)" in outcome.measured
