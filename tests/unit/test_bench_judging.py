"""What the failover benchmark makes of a history: whose answer counts, from when, and what a pause is."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bench.failover.judging import Judge
from bench.failover.strikes.scene import Struck
from drills.history import History, Request, Sighting

AT = 100.0  # of the strike, by the monotonic clock
WALL_MS = 1_000_000  # the same moment by the wall clock
STRUCK = Struck(AT, AT, WALL_MS + 1, (frozenset({0, 1}),), frozenset({7}))


def request(partition: int, due: float, seen: float | None, written: float | None = None) -> Request:
    """One that was answered `seen - AT` seconds after the strike; written then, unless told."""
    stamp = WALL_MS + round(((seen if written is None else written) - AT) * 1000) if seen is not None else 0
    answers = () if seen is None else (Sighting(seen, 0, 0, "ok", "search-0", stamp),)
    return Request(f"{partition}-{due}", partition, due, due, "acked", 1, answers)


def judged(*requests: Request) -> Judge:
    return Judge(History(requests))


def test_the_first_answer_from_one_of_the_victims_partitions_counts() -> None:
    judge = judged(request(0, AT + 0.02, AT + 0.09), request(1, AT + 0.01, AT + 0.05), request(2, AT, AT + 0.01))
    assert judge.answered_ms(STRUCK) == pytest.approx(50)


def test_a_request_that_was_under_way_counts_too() -> None:
    assert judged(request(0, AT - 0.01, AT + 0.03)).answered_ms(STRUCK) == pytest.approx(30)


def test_what_the_victim_had_written_itself_does_not_count_whenever_it_was_seen() -> None:
    own = request(0, AT - 0.01, AT + 0.002, written=AT - 0.001)
    in_the_same_millisecond = request(1, AT - 0.01, AT + 0.003, written=AT)
    assert judged(own, in_the_same_millisecond, request(0, AT, AT + 0.04)).answered_ms(STRUCK) == pytest.approx(40)


def test_of_two_victims_the_last_to_be_replaced_counts() -> None:
    both = replace(STRUCK, victims=(frozenset({0}), frozenset({1})))
    assert judged(request(0, AT, AT + 0.04), request(1, AT, AT + 0.3)).answered_ms(both) == pytest.approx(300)


def test_a_figure_may_run_from_later_than_the_strike() -> None:
    later = replace(STRUCK, since=AT + 2.0)
    assert judged(request(0, AT, AT + 2.5)).answered_ms(later) == pytest.approx(500)


def test_nobody_answered_is_infinite() -> None:
    judge = judged(request(0, AT - 1, AT - 0.9), request(0, AT, None))
    assert judge.answered_ms(STRUCK) == math.inf
    assert judge.pause_ms(STRUCK, AT + 1) == math.inf


def test_a_pause_is_the_longest_wait_beyond_the_usual_one_of_any_partition_until_all_is_well() -> None:
    usual = [request(number % 3, AT - 10 + number / 100, AT - 10 + number / 100 + 0.02) for number in range(100)]
    judge = judged(*usual, request(2, AT - 0.01, AT + 0.09), request(0, AT + 0.5, AT + 0.57))
    assert judge.pause_ms(STRUCK, AT + 1) == pytest.approx(80)
    assert judge.pause_ms(replace(STRUCK, at=AT + 0.2), AT + 1) == pytest.approx(50)
    assert judge.pause_ms(replace(STRUCK, at=AT + 0.2), AT + 0.4) == 0


def test_a_request_that_kafka_never_had_is_not_waited_for() -> None:
    unsure = replace(request(0, AT, None), sent="unknown")
    assert judged(request(0, AT, AT + 0.01), unsure).pause_ms(STRUCK, AT + 1) == pytest.approx(0, abs=1e-6)


def test_the_usual_latency_is_that_of_requests_outside_the_strikes() -> None:
    calm = [request(0, AT - 50 + number, AT - 50 + number + 0.01) for number in range(20)]
    judge = judged(*calm, request(0, AT, AT + 0.4))
    usual = judge.usual([(STRUCK, AT + 1)])
    assert (usual.count, usual.max_ms) == (20, pytest.approx(10))
