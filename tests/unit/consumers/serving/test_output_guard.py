"""What a model may hand out: the guard lets every sound answer through and none that is wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from consumers.serving.breaker import Breaker
from consumers.serving.cache import Cache
from consumers.serving.output_guard import OutputGuard, WrongAnswer
from models.base import RecommendQuery, SearchQuery
from schemas.records import Item

HAS = 20
_IDS = st.integers(0, HAS - 1).map(lambda number: f"p{number}")
_SCORES = st.one_of(st.floats(-10, 10), st.floats())
_ANSWERS = st.lists(st.builds(Item, _IDS | st.just(""), _SCORES, st.just("title")), max_size=HAS)


class Shop:
    """A model with `HAS` products, of which it answers with `answer`."""

    label = "toy@1"

    def __init__(self, answer: list[Item] | None = None) -> None:
        self.answer = answer or []

    def predict(self, queries: list[SearchQuery]) -> list[list[Item]]:
        return [self.answer[: query.k] if query.query == "cut" else self.answer for query in queries]

    def least(self, query: SearchQuery) -> int:
        return min(query.k, HAS)

    def warm_up(self) -> None:
        return


@dataclass(frozen=True)
class Plain:
    """A query of a service that knows no `k`."""

    text: str


def items(count: int, score: float = 1.0) -> list[Item]:
    return [Item(f"p{number}", score, "") for number in range(count)]


def is_sound(answer: list[Item], k: int) -> bool:
    """The same rules, said in another way."""
    ids = [item.item_id for item in answer]
    numbers = all(-math.inf < item.score < math.inf for item in answer)
    return numbers and all(ids) and sorted(ids) == sorted(set(ids)) and len(answer) == min(k, HAS)


@given(_ANSWERS, st.integers(1, 30))
def test_exactly_the_sound_answers_pass(answer: list[Item], k: int) -> None:
    guard = OutputGuard("search", Shop())
    if is_sound(answer, k):
        guard.check([SearchQuery("a", k)], [answer])
    else:
        with pytest.raises(WrongAnswer):
            guard.check([SearchQuery("a", k)], [answer])


@given(st.integers(1, 8), st.data())
def test_one_wrong_answer_is_found_wherever_it_stands(count: int, data: st.DataObject) -> None:
    answers = [items(3) for _ in range(count)]
    answers[data.draw(st.integers(0, count - 1))] = items(2)
    with pytest.raises(WrongAnswer, match="2 products where there are 3"):
        OutputGuard("search", Shop()).check([SearchQuery("a", 3)] * count, answers)


@pytest.mark.parametrize(
    ("reason", "answer", "says"),
    [
        ("not_finite", items(3, math.nan), "a score of nan"),
        ("not_finite", [*items(2), Item("p9", -math.inf, "")], "a score of -inf"),
        ("duplicate", [*items(2), *items(1)], "3 products of which only 2 differ"),
        ("no_id", [*items(2), Item("", 1.0, "")], "a product without an id"),
        ("too_many", items(4), "4 products where 3 were asked for"),
        ("too_few", [], "0 products where there are 3"),
    ],
)
def test_each_reason_is_said_and_counted(reason: str, answer: list[Item], says: str) -> None:
    labels = {"service": "search", "reason": reason}
    before = REGISTRY.get_sample_value("standfast_wrong_answers_total", labels) or 0.0
    with pytest.raises(WrongAnswer, match=says):
        OutputGuard("search", Shop()).check([SearchQuery("a", 3)], [answer])
    assert REGISTRY.get_sample_value("standfast_wrong_answers_total", labels) == before + 1


def test_a_model_that_does_not_say_how_many_products_it_has_may_answer_with_none() -> None:
    OutputGuard("reverse", object()).check([Plain("a"), SearchQuery("a", 3)], [items(1), []])  # type: ignore[list-item]


def test_an_empty_answer_of_all_who_have_had_everything_is_sound() -> None:
    class Sold(Shop):
        def least(self, _query: object) -> int:
            return 0

    OutputGuard("recommend", Sold()).check([RecommendQuery("u1", 3)], [[]])


def test_a_wrong_answer_is_neither_given_nor_kept_and_counts_as_a_failure_of_the_model() -> None:
    shop, told = Shop(items(3)), list[str]()
    breaker = Breaker(shop, "search", told.append)
    cache = Cache(breaker.ask, 10, "search.requests", ignores_user=True)
    assert cache.ask([SearchQuery("a", 3)]) == [items(3)]
    shop.answer = items(3, math.nan)
    (outcome,) = cache.ask([SearchQuery("b", 3)])
    assert getattr(outcome, "status", "ok") == "overloaded"
    assert "WrongAnswer: the model gave a wrong answer: a score of nan" in told[-1]
    assert cache.ask([SearchQuery("a", 3)]) == [items(3)], "what was computed before is still right"
    shop.answer = items(3)
    breaker._trial_at = 0.0
    assert cache.ask([SearchQuery("b", 3)]) == [items(3)]


def test_a_request_with_a_wrong_answer_in_sound_company_is_alone_to_blame() -> None:
    shop = Shop(items(3))
    breaker = Breaker(shop, "search", lambda _: None)
    queries = [SearchQuery("cut", 3), SearchQuery("cut", 2), SearchQuery("whole", 2)]
    assert [getattr(outcome, "status", "ok") for outcome in breaker.ask(queries)] == ["ok", "ok", "invalid"]
    assert [getattr(outcome, "status", "ok") for outcome in breaker.ask(queries)] == ["ok", "ok", "invalid"]
