"""What a history shows for each fault: its RTO, which answers count and from when, and its longest pause."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from drills.evidence.checker import measure
from drills.evidence.history import Fault, History, Request, Sighting
from drills.evidence.recovery import Recoveries

AT = 100.0  # of the fault, by the monotonic clock
WALL_MS = 1_000_000  # the same moment by the wall clock
STRUCK = Fault(AT, frozenset({0, 1}), "kill", (frozenset({0, 1}),), WALL_MS + 1)


def request(partition: int, due: float, seen: float | None, written: float | None = None) -> Request:
    """A request due at `due`, whose answer was read at `seen` and written to Kafka at `written`, `seen` by default."""
    stamp = WALL_MS + round(((seen if written is None else written) - AT) * 1000) if seen is not None else 0
    answers = () if seen is None else (Sighting(seen, 0, 0, "ok", "search-0", stamp),)
    return Request(f"{partition}-{due}", partition, due, due, "acked", 1, answers)


def judged(*requests: Request, faults: tuple[Fault, ...] = ()) -> Recoveries:
    return Recoveries(History(requests, (), faults, ended=AT + 60))


def test_the_first_answer_from_one_of_the_victims_partitions_counts() -> None:
    judge = judged(request(0, AT + 0.02, AT + 0.09), request(1, AT + 0.01, AT + 0.05), request(2, AT, AT + 0.01))
    assert judge.answered_ms(STRUCK) == pytest.approx(50)


def test_a_request_that_was_under_way_counts_too() -> None:
    assert judged(request(0, AT - 0.01, AT + 0.03)).answered_ms(STRUCK) == pytest.approx(30)


def test_what_the_victim_had_written_itself_does_not_count_whenever_it_was_seen() -> None:
    victims = request(0, AT - 0.01, AT + 0.002, written=AT - 0.001)
    in_the_same_millisecond = request(1, AT - 0.01, AT + 0.003, written=AT)
    assert judged(victims, in_the_same_millisecond, request(0, AT, AT + 0.04)).answered_ms(STRUCK) == pytest.approx(40)


def test_of_two_victims_the_last_to_be_replaced_counts() -> None:
    both = replace(STRUCK, victims=(frozenset({0}), frozenset({1})))
    assert judged(request(0, AT, AT + 0.04), request(1, AT, AT + 0.3)).answered_ms(both) == pytest.approx(300)


def test_a_figure_may_run_from_later_than_the_strike() -> None:
    assert judged(request(0, AT, AT + 2.5)).answered_ms(STRUCK, since=AT + 2.0) == pytest.approx(500)


def test_nobody_answered_is_infinite() -> None:
    judge = judged(request(0, AT - 1, AT - 0.9), request(0, AT, None))
    assert judge.answered_ms(STRUCK) == math.inf
    assert judge.pause_ms(replace(STRUCK, ended=AT + 1)) == math.inf


def test_a_pause_is_the_longest_wait_beyond_the_usual_one_of_any_partition_until_all_is_well() -> None:
    usual = [request(number % 3, AT - 10 + number / 100, AT - 10 + number / 100 + 0.02) for number in range(100)]
    judge = judged(*usual, request(2, AT - 0.01, AT + 0.09), request(0, AT + 0.5, AT + 0.57))
    assert judge.pause_ms(replace(STRUCK, ended=AT + 1)) == pytest.approx(80)
    assert judge.pause_ms(replace(STRUCK, at=AT + 0.2, ended=AT + 1)) == pytest.approx(50)
    assert judge.pause_ms(replace(STRUCK, at=AT + 0.2, ended=AT + 0.4)) == 0


def test_a_request_that_kafka_never_had_is_not_waited_for() -> None:
    unsure = replace(request(0, AT, None), sent="unknown")
    judge = judged(request(0, AT, AT + 0.01), unsure)
    assert judge.pause_ms(replace(STRUCK, ended=AT + 1)) == pytest.approx(0, abs=1e-6)


def test_the_usual_latency_is_that_of_requests_outside_the_strikes() -> None:
    calm = [request(0, AT - 50 + number, AT - 50 + number + 0.01) for number in range(20)]
    judge = judged(*calm, request(0, AT, AT + 0.4), faults=(replace(STRUCK, ended=AT + 1),))
    usual = judge.usual()
    assert (usual.count, usual.max_ms) == (20, pytest.approx(10))


def test_the_rto_is_that_of_the_last_partition_to_answer_what_was_sent_after_the_fault() -> None:
    under_way = request(1, AT - 0.01, AT + 0.02)
    judge = judged(under_way, request(0, AT, AT + 0.03), request(1, AT + 0.05, AT + 0.09), request(2, AT, AT + 0.5))
    assert judge.rto_ms(STRUCK) == pytest.approx(90)
    assert judge.first_ms(STRUCK) == pytest.approx(30)
    assert judged(request(0, AT, AT + 0.03), under_way).rto_ms(STRUCK) is None


def test_an_earlier_answer_to_a_later_request_counts() -> None:
    judge = judged(request(0, AT, AT + 0.4), request(0, AT + 0.01, AT + 0.02), request(1, AT, AT + 0.03))
    assert judge.rto_ms(STRUCK) == pytest.approx(30)


def test_each_fault_of_a_history_has_its_own_rto_and_the_longest_is_the_histories() -> None:
    second = Fault(AT + 10, frozenset({2}), "hang", ended=AT + 11)
    faults = (replace(STRUCK, ended=AT + 1), second)
    requests = [request(0, AT, AT + 0.03), request(1, AT, AT + 0.04), request(2, AT + 10.1, AT + 10.3)]
    judge = judged(*requests, faults=faults)
    assert [judge.rto_ms(fault) for fault in faults] == [pytest.approx(40), pytest.approx(300)]
    measured = measure(History(tuple(requests), (), faults, ended=AT + 60))
    assert measured.rto_ms == pytest.approx(300)
    assert measured.watched_ms == pytest.approx(50_000)


def test_one_fault_without_a_recovery_leaves_the_history_without_one() -> None:
    faults = (STRUCK, Fault(AT + 10, frozenset({2}), "hang"))
    measured = measure(History((request(0, AT, AT + 0.03), request(1, AT, AT + 0.04)), (), faults, ended=AT + 60))
    assert measured.rto_ms is None
