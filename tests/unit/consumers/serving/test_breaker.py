"""What is blamed when a model raises: the request alone; or the model, and then no request is set aside."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.serving.breaker import Breaker, NotComputed, Outcome
from models.base import SearchQuery
from schemas.records import Item
from standfast.core.errors import DeviceLost

GOOD, BAD = "heart", "raise"


class FrailModel:
    """Raises for the query `raise`, and for every query while `broken`; `asked` has the size of each call."""

    label = "toy@7"

    def __init__(self) -> None:
        self.broken = False
        self.error = RuntimeError("device-side assert triggered")
        self.bad: Exception = ValueError("cannot be computed")
        self.asked: list[int] = []

    def predict(self, queries: Sequence[SearchQuery]) -> list[list[Item]]:
        self.asked.append(len(queries))
        if self.broken:
            raise self.error
        if any(query.query == BAD for query in queries):
            raise self.bad
        return [[Item(query.query, 1.0, "")] for query in queries]

    def warm_up(self) -> None:
        return


class BreakerBench:
    """A breaker whose clock only tests move (`now`, in seconds)."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.model = FrailModel()
        self.reasons: list[str] = []
        self.breaker = Breaker(self.model, "search", self.reasons.append, lambda: self.now)

    def ask(self, *texts: str) -> list[str]:
        """For each text `ok`, or the status of the request that was not computed."""
        return [_status(outcome) for outcome in self.outcomes(*texts)]

    def outcomes(self, *texts: str) -> list[Outcome]:
        self.model.asked.clear()
        return self.breaker.ask([SearchQuery(text, 10) for text in texts])


def _status(outcome: Outcome) -> str:
    return outcome.status if isinstance(outcome, NotComputed) else "ok"


def test_a_model_that_stops_answering_is_found_out_by_what_it_answered_before() -> None:
    bench = BreakerBench()
    assert bench.ask(GOOD) == ["ok"]
    bench.model.broken = True
    assert bench.ask(*["new"] * 32) == ["overloaded"] * 32
    assert bench.model.asked == [32, 1], "the batch and the query it had answered, not 32 requests alone"
    (reason,) = bench.reasons
    for part in (
        "toy@7",
        "RuntimeError: device-side assert triggered",
        "since 20",
        "`standfast models rollback search`",
    ):
        assert part in reason


def test_an_open_breaker_asks_once_a_second_and_closes_with_the_first_answer() -> None:
    bench = BreakerBench()
    bench.ask(GOOD)
    bench.model.broken = True
    bench.ask(GOOD)
    for after, calls in ((0.4, []), (0.5, []), (0.2, [3, 1]), (0.9, [])):
        bench.now += after
        assert bench.ask("a", "b", "c") == ["overloaded"] * 3
        assert bench.model.asked == calls
    bench.model.broken = False
    assert bench.ask(GOOD) == ["overloaded"], "it is not asked before its time"
    bench.now += 0.2
    assert bench.ask("a", "b") == ["ok", "ok"]
    assert bench.ask("a") == ["ok"]
    assert [bool(reason) for reason in bench.reasons] == [True, False], "opened once, closed once"


def test_a_trial_batch_with_a_bad_request_in_it_closes_it_too() -> None:
    bench = BreakerBench()
    bench.ask(GOOD)
    bench.model.broken = True
    bench.ask(GOOD)
    bench.model.broken = False
    bench.now += 1.0
    assert bench.ask("a", BAD, "b") == ["ok", "invalid", "ok"]
    assert bench.reasons[-1] == ""


def test_a_caller_who_sends_nothing_but_bad_requests_opens_nothing() -> None:
    bench = BreakerBench()
    bench.ask(GOOD)
    for _ in range(50):
        bench.now += 1.0
        assert bench.ask(BAD) == ["invalid"]
        assert bench.ask(BAD, BAD, BAD) == ["invalid"] * 3
    assert bench.reasons == []


def test_a_model_that_never_answered_anything_needs_five_batches_and_three_seconds() -> None:
    bench = BreakerBench()
    bench.model.broken = True
    assert bench.ask(*["a"] * 32) == ["invalid"] * 32
    assert bench.model.asked == [32] + [1] * 32
    for _ in range(11):
        bench.now += 0.25
        assert bench.ask(*["a"] * 32) == ["invalid"] * 4 + ["overloaded"] * 28
        assert bench.model.asked == [32] + [1] * 4, "only requests that were computed alone are blamed"
    bench.now += 0.25
    assert bench.ask(*["a"] * 32) == ["overloaded"] * 32, "three seconds"
    assert [bool(reason) for reason in bench.reasons] == [True]
    assert bench.ask("a") == ["overloaded"]
    assert bench.model.asked == []
    bench.now += 1.0
    assert bench.ask("a") == ["overloaded"], "a trial that fails blames nobody"
    bench.model.broken = False
    bench.now += 1.0
    assert bench.ask(BAD, BAD, BAD, BAD, BAD, "a") == ["overloaded"] * 6, "no answer shows that the model works"
    bench.now += 1.0
    assert bench.ask(BAD, "a", BAD, "b", "c", BAD) == ["invalid", "ok", "invalid", "ok", "ok", "invalid"]
    assert bench.reasons[-1] == ""


def test_five_batches_in_less_than_three_seconds_open_nothing() -> None:
    bench = BreakerBench()
    for _ in range(100):
        bench.now += 0.02
        assert bench.ask(BAD) == ["invalid"]
    assert bench.reasons == []
    bench.now += 10
    assert bench.ask(GOOD, BAD) == ["ok", "invalid"]


def test_a_model_that_gives_too_few_answers_has_failed() -> None:
    bench = BreakerBench()
    bench.model.predict = lambda _: []  # type: ignore[method-assign]
    (outcome,) = bench.outcomes("a")
    assert outcome == NotComputed(
        "invalid", "the model failed on it: ValueError: the model gave 0 answers to 1 requests"
    )


_BATCHES = st.lists(st.lists(st.sampled_from([GOOD, "bag", BAD]), min_size=1, max_size=12), max_size=8)


@given(_BATCHES, st.floats(0, 2))
def test_one_bad_request_fails_alone_whatever_its_company(batches: list[list[str]], apart: float) -> None:
    bench = BreakerBench()
    bench.ask(GOOD)
    for batch in batches:
        bench.now += apart
        outcomes = bench.outcomes(*batch)
        for text, outcome in zip(batch, outcomes, strict=True):
            if text == BAD:
                assert outcome == NotComputed("invalid", "the model failed on it: ValueError: cannot be computed")
            else:
                assert outcome == [Item(text, 1.0, "")]
        assert len(bench.model.asked) <= 2 + len(batch)
    assert bench.reasons == []


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40), st.floats(0, 3)), max_size=20))
def test_a_model_that_comes_and_goes_loses_no_request(course: list[tuple[bool, int, float]]) -> None:
    bench = BreakerBench()
    bench.ask(GOOD)
    for broken, count, pause in course:
        bench.now += pause
        bench.model.broken = broken
        statuses = bench.ask(*[GOOD] * count)
        assert len(set(statuses)) == 1, "one batch has one fate"
        assert len(statuses) == count
        assert statuses[0] in ({"overloaded"} if broken else {"ok", "overloaded"})
        assert len(bench.model.asked) <= 2
    assert [bool(reason) for reason in bench.reasons] == [number % 2 == 0 for number in range(len(bench.reasons))]


# what only halves, or another process, can compute --------------------------------------------------------------------


def test_a_batch_that_does_not_fit_into_memory_is_answered_in_halves_and_blames_nobody() -> None:
    bench = BreakerBench()
    answer = bench.model.predict

    def narrow(queries: Sequence[SearchQuery]) -> list[list[Item]]:
        if len(queries) > 3:
            bench.model.asked.append(len(queries))
            raise MemoryError
        return answer(queries)

    bench.model.predict = narrow  # type: ignore[method-assign]
    assert bench.ask(*["a"] * 8) == ["ok"] * 8
    assert bench.model.asked == [8, 4, 2, 2, 4, 2, 2]
    assert bench.reasons == []


def test_a_model_that_never_fits_is_overloaded_and_no_request_is_set_aside() -> None:
    bench = BreakerBench()
    bench.ask(GOOD)

    def never(queries: Sequence[SearchQuery]) -> list[list[Item]]:
        raise MemoryError

    bench.model.predict = never  # type: ignore[method-assign]
    assert bench.ask(*["a"] * 8) == ["overloaded"] * 8


def test_a_device_that_fails_on_what_it_answered_before_is_lost() -> None:
    bench = BreakerBench()
    bench.ask(GOOD)
    bench.model.error = RuntimeError("CUDA error: unspecified launch failure")
    bench.model.broken = True
    with pytest.raises(DeviceLost, match="the device of toy@7 is lost to this process: RuntimeError: CUDA error"):
        bench.ask("a")
    assert bench.reasons == [], "its process ends; nobody is told to come back later"


def test_a_device_that_fails_before_it_has_answered_anything_is_lost() -> None:
    bench = BreakerBench()
    bench.model.error = RuntimeError("CUDA error: unspecified launch failure")
    bench.model.broken = True
    with pytest.raises(DeviceLost):
        bench.ask("a")


def test_a_device_that_fails_on_one_request_alone_is_not_lost() -> None:
    bench = BreakerBench()
    bench.ask(GOOD)
    bench.model.bad = RuntimeError("CUDA error: invalid configuration argument")
    assert bench.ask("a", BAD) == ["ok", "invalid"]
