"""The figures to reach: which there are, when a row is reached, and what becomes of one that cannot be measured."""

from __future__ import annotations

import math
from typing import cast

import pytest

from bench.beside.results import Spread
from bench.failover.soak import ServiceSoak, Soak, Weight
from bench.failover.warm_up import WarmUp
from bench.rows import ROWS, chosen
from bench.rows import soak as soaking
from bench.rows.outcome import RowOutcome, judged
from bench.rows.row import Figure, Measurement, Row, RowContext, Threshold
from bench.rows.run import each
from bench.rows.shared_system import SharedSystem
from bench.rows.soak import beyond_calm, grown
from consumers.service import service
from drills.faults import FAULTS
from drills.faults.running_system import RunningSystem
from standfast.core.errors import ClusterError, UsageError
from standfast.core.settings import Settings

MEDIAN, LOST = Threshold("median", 50, "ms"), Threshold("lost", 0)


def row(name: str = "kill", *aims: Threshold, found: Measurement | Exception | None = None) -> Row:
    def measure(_place: RowContext) -> Measurement:
        if isinstance(found, Exception):
            raise found
        return found or Measurement("nothing", {})

    return Row(name, f"what {name} is", measure, aims or (MEDIAN, LOST))


def outcome(figures: dict[str, Figure], *aims: Threshold, peers: str = "raw") -> RowOutcome:
    return judged(row("kill", *aims), Measurement("38 ms", figures), peers, 0.1, 2.0)


def test_every_row_has_a_name_of_its_own_and_something_to_reach() -> None:
    assert len({one.name for one in ROWS}) == len(ROWS)
    assert all(one.aims for one in ROWS)


def test_every_strike_is_a_row() -> None:
    assert set(FAULTS) <= {one.name for one in ROWS}


def test_rows_are_chosen_by_name_in_the_order_of_the_table() -> None:
    assert [one.name for one in chosen("hang, kill")] == ["kill", "hang"]
    assert list(chosen(None)) == list(ROWS)


def test_a_wrong_name_is_told_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"--only kil,nap: there are kill, hang, .*soak"):
        chosen("kil,hang,nap")


def test_a_row_is_reached_when_each_of_its_figures_is() -> None:
    found = outcome({"median": 50.0, "lost": 0})
    assert (found.reached, found.reason, found.to_reach) == (True, "", "median ≤ 50 ms, 0 lost")


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
    found = outcome(figures)
    assert (found.reached, found.reason) == (False, reason)


def test_of_several_rounds_the_median_counts() -> None:
    share = Threshold("of raw", 0.95, at_least=True)
    assert outcome({"of raw": Spread(0.5, 0.96, 0.97)}, share).reached
    assert not outcome({"of raw": Spread(0.5, 0.94, 0.99)}, share).reached


@pytest.mark.parametrize(
    ("peers", "reached"), [("raw", True), ("litserve", False), ("plain,litserve", False), ("all", False)]
)
def test_a_peer_is_compared_with_only_where_it_was_asked_for(peers: str, reached: bool) -> None:
    aims = Threshold("of raw", 0.9, at_least=True), Threshold("times litserve", 2, at_least=True, peer="litserve")
    found = outcome({"of raw": 0.95, "times litserve": 1.9}, *aims, peers=peers)
    assert (found.reached, "litserve" in found.to_reach) == (reached, not reached)


def test_what_could_not_be_measured_beside_it_is_a_reason_too() -> None:
    found = judged(
        row(), Measurement("38 ms", {"median": 38.0, "lost": 0}, trouble=("round 2: no memory",)), "raw", 0, 1
    )
    assert (found.reached, found.reason) == (False, "round 2: no memory")


class Cleared:
    """A stand that only notes how often it was cleared."""

    times = 0

    def clear(self) -> None:
        self.times += 1


def run(*rows: Row) -> tuple[list[RowOutcome], Cleared, list[str]]:
    stand, told = Cleared(), list[str]()
    return each(rows, lambda _: RowContext(cast("SharedSystem", stand), True, "raw", told.append)), stand, told


def test_a_row_that_cannot_be_measured_says_why_and_the_others_are() -> None:
    well = Measurement("38 ms", {"median": 38.0, "lost": 0})
    found, stand, told = run(row("first", found=ClusterError("Kafka is gone")), row("second", found=well))
    assert [(one.name, one.reached, one.reason) for one in found] == [
        ("first", False, "Kafka is gone"), ("second", True, ""),
    ]  # fmt: skip
    assert found[0].measured == "not measured"
    assert stand.times == 1, "the next one does not begin on what the first may have broken"
    assert told[0] == "1 of 2, what first is"


def test_an_error_that_nobody_foresaw_is_told_with_its_kind() -> None:
    found, _, _ = run(row(found=ProcessLookupError(3, "No such process")))
    assert found[0].reason == "ProcessLookupError: [Errno 3] No such process"


def test_whoever_interrupts_ends_all_of_it() -> None:
    def interrupted(_place: RowContext) -> Measurement:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Row("kill", "", interrupted, (MEDIAN,)), row())


def weights(*workers_and_others: tuple[float, float]) -> list[Weight]:
    return [
        Weight(after_s=60.0 * at, worker_mb=one, others_mb=two, kafka_mb=500, each_mb={"supervisor": two, "drills": 9})
        for at, (one, two) in enumerate(workers_and_others)
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
    found = Soak(
        warm_up=WarmUp(9.0, settled), seconds=120, every_s=10, workers=8, served=[served(10.0, 12.0)],
        weights=weights((100, 100), (100, 100), (100, 101)),
    )  # fmt: skip
    monkeypatch.setattr(soaking, "soak", lambda *_: found)
    monkeypatch.setattr(
        Cleared, "running", lambda *_: RunningSystem(Settings(), service("search", Settings())), raising=False
    )
    (row,) = [one for one in ROWS if one.name == "soak"]
    (outcome,), _, _ = run(row)
    assert outcome.reason.startswith(reason)
    assert outcome.reached == settled
    assert "1 kills, 0 lost, 0 doubled of 90; 1.01 times as heavy (supervisor most, by 1 MB)" in outcome.measured
