"""The checker and the verdict: what a history of a drill proves, and what must never pass."""

from __future__ import annotations

import dataclasses
import itertools
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from drills.evidence.checker import measure, out_of_order
from drills.evidence.history import Deleted, Fault, History, Request, Sighting
from drills.evidence.verdict import Finding, Judgement, Objectives, judge, worst
from schemas.records import Check

OBJECTIVES = Objectives(rto_ms=1000, p99_ms=500)
STRUCK = 10.0
DONE = Finding("passed", "done")
CHECKS: list[Check] = ["passed", "failed", "unknown"]


@cache
def healthy(count: int = 600, partitions: int = 3, outage: float = 0.2) -> History:
    """20 s of requests answered in 5 ms; partition 0 answers nothing for `outage` seconds after the kill."""
    requests = []
    for number in range(count):
        at = number * 20 / count
        partition = number % partitions
        seen = max(at + 0.005, STRUCK + outage) if partition == 0 and STRUCK <= at < STRUCK + outage else at + 0.005
        answer = Sighting(seen, partition, number, "ok")
        requests.append(Request(f"d-{number}", partition, at, at, "acked", number, (answer,)))
    return History(tuple(requests), (), (Fault(STRUCK, frozenset({0})),), ended=25.0)


def verdict(history: History, objectives: Objectives = OBJECTIVES) -> Judgement:
    return judge(DONE, measure(history), DONE, objectives)


def changed(history: History, number: int, **to: object) -> History:
    requests = list(history.requests)
    requests[number] = replace(requests[number], **to)  # type: ignore[arg-type]
    return replace(history, requests=tuple(requests))


def test_a_healthy_history_passes_with_full_score() -> None:
    judgement = verdict(healthy())
    assert (judgement.verdict, judgement.score) == ("passed", 100.0)


def test_rto_runs_from_the_kill_to_the_last_partition_that_answers_again() -> None:
    history = replace(healthy(outage=0.4), faults=(Fault(STRUCK, frozenset({0, 1})),))
    seen = measure(history)
    assert seen.rto_ms == pytest.approx(400, abs=1)
    assert seen.first_ms is not None
    assert seen.first_ms < 50


def test_a_fault_that_hit_no_partition_was_over_when_it_began() -> None:
    seen = measure(replace(healthy(), faults=(Fault(STRUCK, frozenset()),)))
    assert (seen.rto_ms, seen.first_ms) == (0, 0)
    assert verdict(replace(healthy(), faults=(Fault(STRUCK, frozenset()),))).verdict == "passed"


def test_an_answer_to_a_request_from_before_the_kill_is_no_recovery() -> None:
    history = healthy()
    before = tuple(request for request in history.requests if request.invoked < STRUCK)
    late = Sighting(STRUCK + 0.001, 0, 9999, "ok")
    requests = (*before[:-3], *(replace(request, answers=(late,)) for request in before[-3:]))
    assert measure(replace(history, requests=requests)).rto_ms is None


def test_latency_is_split_at_the_kill_and_at_the_recovery() -> None:
    seen = measure(healthy(outage=0.5))
    assert seen.before.count + seen.during.count + seen.after.count == 600
    assert seen.during.max_ms is not None
    assert seen.during.max_ms > 400
    assert seen.before.max_ms == seen.after.max_ms == pytest.approx(5)


def test_a_sender_that_fell_behind_hides_no_latency() -> None:
    history = changed(healthy(), 400, due=healthy().requests[400].due - 3)
    assert measure(history).after.max_ms == pytest.approx(3005)


@given(st.integers(0, 599))
def test_a_lost_answer_never_passes(number: int) -> None:
    judgement = verdict(changed(healthy(), number, answers=()))
    assert (judgement.verdict, judgement.held, judgement.score) == ("failed", "failed", 0.0)
    assert any("1 of 600 accepted requests lost" in text for text in judgement.findings)


@given(st.integers(0, 599), st.integers(1, 3))
def test_a_doubled_answer_never_passes_unless_it_is_allowed(number: int, more: int) -> None:
    history = healthy()
    first = history.requests[number].answers[0]
    doubled = changed(history, number, answers=(first,) + (replace(first, at=24.0, offset=10_000),) * more)
    judgement = verdict(doubled)
    assert (judgement.verdict, judgement.score) == ("failed", 0.0)
    assert verdict(doubled, dataclasses.replace(OBJECTIVES, duplicates_allowed=True)).verdict == "passed"


@given(st.integers(0, 599))
def test_a_request_written_twice_and_answered_twice_says_something_of_the_load_alone(number: int) -> None:
    """The load's own producer wrote 138 of 1,180 requests twice when a broker had been killed."""
    history = healthy()
    first = history.requests[number].answers[0]
    second = replace(first, at=24.0, offset=10_000)
    written = changed(history, number, copies=(number, 700), offset=700, answers=(first, second))
    seen, judgement = measure(written), verdict(written)
    assert (seen.duplicated, seen.written_twice, seen.out_of_order) == (0, 1, 0)
    assert (judgement.verdict, judgement.score) == ("passed", 100.0)
    assert any(
        "1 requests were written more than once by the drill's own producer" in text for text in judgement.findings
    )


@given(st.integers(0, 599), st.integers(1, 3))
def test_more_answers_than_a_request_was_written_never_pass(number: int, copies: int) -> None:
    history = healthy()
    first = history.requests[number].answers[0]
    more = tuple(replace(first, at=24.0, offset=10_000 + copy) for copy in range(copies))
    offsets = tuple(range(number, number + copies))
    answered_again = changed(history, number, copies=offsets, answers=(first, *more))
    assert measure(answered_again).duplicated == 1
    assert (verdict(answered_again).verdict, verdict(answered_again).score) == ("failed", 0.0)


def test_copies_answered_out_of_their_order_are_seen() -> None:
    answers = (Sighting(1.0, 0, 3, "ok"), Sighting(2.0, 0, 9, "ok"))
    twice = Request("d-0", 0, 0.0, 0.0, "acked", 8, answers, copies=(2, 8))
    between = Request("d-1", 0, 0.0, 0.0, "acked", 5, (Sighting(1.5, 0, 6, "ok"),))
    late = replace(between, answers=(Sighting(3.0, 0, 12, "ok"),))
    assert (out_of_order([twice, between]), out_of_order([twice, late])) == (0, 1)


@pytest.mark.parametrize("status", ["invalid", "overloaded", "deadline_exceeded"])
def test_an_answer_that_is_not_ok_never_passes(status: str) -> None:
    history = healthy()
    answer = replace(history.requests[7].answers[0], status=status)
    assert verdict(changed(history, 7, answers=(answer,))).verdict == "failed"


def test_an_answer_to_a_request_never_sent_fails() -> None:
    assert verdict(replace(healthy(), unexpected=("d-7777",))).verdict == "failed"


def test_a_request_kafka_never_took_proves_nothing_against_the_system() -> None:
    judgement = verdict(changed(healthy(), 400, sent="failed", answers=(), offset=-1))
    assert judgement.verdict == "passed"
    assert any("1 more were never acknowledged" in text for text in judgement.findings)


def test_no_recovery_fails_and_too_short_a_watch_is_unknown() -> None:
    history = healthy()
    requests = tuple(request for request in history.requests if request.invoked < STRUCK)
    assert verdict(replace(history, requests=requests)).held == "failed"
    assert verdict(replace(history, requests=requests, ended=STRUCK + 0.5)).held == "unknown"


def test_too_few_samples_are_unknown_and_not_passed() -> None:
    history = healthy()
    judgement = verdict(replace(history, requests=history.requests[:350]))
    assert judgement.verdict == "unknown"
    assert judgement.score < 100


def test_an_empty_history_is_never_a_pass() -> None:
    assert verdict(History()).verdict != "passed"
    assert verdict(History(faults=(Fault(1.0, frozenset({0})),), ended=2.0)).verdict != "passed"


@given(st.permutations(list(range(60))))
def test_the_order_in_which_requests_are_listed_changes_nothing(order: list[int]) -> None:
    history = healthy(60)
    shuffled = replace(history, requests=tuple(history.requests[at] for at in order))
    assert measure(shuffled) == measure(history)


@given(st.permutations(list(range(8))))
def test_out_of_order_is_zero_only_for_answers_in_request_order(order: list[int]) -> None:
    requests = [
        Request(f"d-{at}", 0, 0.0, 0.0, "acked", at, (Sighting(1.0 + position, 0, position, "ok"),))
        for position, at in enumerate(order)
    ]
    assert (out_of_order(requests) == 0) == (list(order) == sorted(order))


def test_answers_in_different_result_partitions_are_not_compared() -> None:
    requests = [
        Request(f"d-{at}", 0, 0.0, 0.0, "acked", at, (Sighting(5.0 - at, at, 5 - at, "ok"),)) for at in range(3)
    ]
    assert out_of_order(requests) == 0


@given(st.lists(st.sampled_from(CHECKS)))
def test_the_worst_check_wins_and_none_at_all_is_unknown(checks: list[Check]) -> None:
    check = worst(checks)
    if not checks:
        assert check == "unknown"
    elif "failed" in checks:
        assert check == "failed"
    else:
        assert check == ("unknown" if "unknown" in checks else "passed")


@pytest.mark.parametrize(("injected", "undone"), list(itertools.product(CHECKS, CHECKS)))
def test_the_verdict_passes_only_if_all_three_do(injected: Check, undone: Check) -> None:
    judgement = judge(Finding(injected, "i"), measure(healthy()), Finding(undone, "u"), OBJECTIVES)
    assert (judgement.verdict == "passed") == (injected == undone == "passed")
    assert (judgement.injected, judgement.undone) == (injected, undone)
    if injected != "passed":
        assert judgement.held == "unknown"


_sighting = st.builds(
    Sighting,
    at=st.floats(0, 30),
    partition=st.integers(0, 2),
    offset=st.integers(0, 100),
    status=st.sampled_from(["ok", "invalid"]),
)
_request = st.builds(
    Request,
    request_id=st.uuids().map(str),
    partition=st.integers(0, 2),
    due=st.floats(0, 30),
    invoked=st.floats(0, 30),
    sent=st.sampled_from(["acked", "failed", "unknown"]),
    offset=st.integers(-1, 100),
    answers=st.lists(_sighting, max_size=3).map(tuple),
)


@given(st.lists(_request, max_size=20), st.none() | st.floats(0, 30))
def test_any_history_is_judged_and_a_bad_one_never_passes(requests: list[Request], struck: float | None) -> None:
    faults = () if struck is None else (Fault(struck, frozenset({0, 1})),)
    history = History(tuple(requests), (), faults, ended=40.0)
    judgement = verdict(history)
    lost = any(request.sent == "acked" and not request.answers for request in requests)
    doubled = any(len(request.answers) > 1 for request in requests)
    assert 0 <= judgement.score <= 100
    if lost or doubled:
        assert (judgement.verdict, judgement.score) == ("failed", 0.0)
    assert judgement.verdict != "passed"  # twenty requests are too few for a p99


def with_items(history: History, sizes: int = 23) -> History:
    """The same history; each request asks for 1 to `sizes` products, and its answer has as many."""
    requests = tuple(
        replace(
            request,
            k=1 + number % sizes,
            answers=tuple(replace(seen, items=1 + number % sizes) for seen in request.answers),
        )
        for number, request in enumerate(history.requests)
    )
    return replace(history, requests=requests)


def test_answers_that_are_to_their_requests_pass() -> None:
    assert (verdict(with_items(healthy())).verdict, measure(with_items(healthy())).compared) == ("passed", 600)


@given(st.integers(0, 599), st.integers(1, 22))
def test_any_two_answers_of_near_requests_that_are_swapped_fail_the_drill(first: int, apart: int) -> None:
    history = with_items(healthy())
    second = (first + apart) % 600
    request, other = history.requests[first], history.requests[second]
    swapped = changed(history, first, answers=tuple(replace(a, items=other.k) for a in request.answers))
    swapped = changed(swapped, second, answers=tuple(replace(a, items=request.k) for a in other.answers))
    judgement = verdict(swapped)
    assert (judgement.held, judgement.verdict) == (
        ("failed", "failed") if request.k != other.k else ("passed", "passed")
    )
    assert (judgement.score == 0.0) == (request.k != other.k)


def test_every_answer_that_of_the_request_before_fails_the_drill() -> None:
    history = with_items(healthy())
    moved = [request.answers for request in history.requests[-1:] + history.requests[:-1]]
    requests = tuple(
        replace(request, answers=answers) for request, answers in zip(history.requests, moved, strict=True)
    )
    assert measure(replace(history, requests=requests)).wrong > 20


def test_a_shop_with_few_products_is_not_wrong() -> None:
    history = with_items(healthy())
    requests = tuple(
        replace(request, answers=tuple(replace(seen, items=min(seen.items, 5)) for seen in request.answers))
        for request in history.requests
    )
    assert verdict(replace(history, requests=requests)).verdict == "passed"


def test_a_fault_that_lasts_is_no_part_of_the_time_after_it() -> None:
    slow = changed(healthy(), 310, answers=(Sighting(STRUCK + 3, 1, 310, "ok"),))  # sent 0.33 s after the start
    lifted = replace(slow, faults=(Fault(STRUCK, frozenset({0}), ended=STRUCK + 1),))
    assert measure(slow).after.max_ms == pytest.approx(2667, abs=1)
    assert measure(lifted).after.max_ms == pytest.approx(5)
    assert measure(lifted).rto_ms == measure(slow).rto_ms
    assert measure(lifted).during.max_ms == pytest.approx(2667, abs=1)


def test_what_the_fault_itself_deleted_is_no_loss_of_the_systems_and_everything_else_is() -> None:
    missing = changed(changed(healthy(), 301, answers=()), 304, answers=())  # partition 1; offsets as their numbers
    one = replace(missing, faults=(Fault(STRUCK, frozenset({1}), deleted=(Deleted(1, 300, 303, 1),)),))
    assert (measure(one).deleted, measure(one).lost) == (1, 1)
    elsewhere = replace(missing, faults=(Fault(STRUCK, frozenset({1}), deleted=(Deleted(0, 0, 600, 200),)),))
    assert (measure(elsewhere).deleted, measure(elsewhere).lost) == (0, 2)
    answered = replace(healthy(), faults=(Fault(STRUCK, frozenset({1}), deleted=(Deleted(1, 0, 600, 200),)),))
    assert (measure(answered).deleted, measure(answered).lost) == (0, 0)


def test_a_fault_that_is_undone_when_the_load_has_ended_moves_nothing() -> None:
    undone = replace(healthy(), faults=(Fault(STRUCK, frozenset({0}), ended=24.0),))
    assert measure(undone) == measure(healthy())


def test_an_answer_cut_short_after_the_fault_fails_the_drill() -> None:
    history = with_items(healthy())
    late = next(n for n, request in enumerate(history.requests) if request.invoked > STRUCK + 1 and request.k > 3)
    (answer,) = history.requests[late].answers
    assert verdict(changed(history, late, answers=(replace(answer, items=2),))).verdict == "failed"
