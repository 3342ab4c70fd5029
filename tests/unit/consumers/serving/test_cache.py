"""A cache gives the model's answers, in bounded memory, and computes each query of a batch once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from consumers.requests.admission import Query
from consumers.serving.breaker import NotComputed, Outcome
from consumers.serving.cache import BYTES_EACH, Cache
from models.base import Faceted, Filter, RecommendQuery, Refined, SearchQuery
from models.search.model import HybridSearch
from schemas.records import Because, Facet, FacetRange, FacetValue, Item, Why
from standfast.core import telemetry


class CountingModel:
    """Its answers depend on the whole query and on its version; the query `raise` fails. `asked` has each call."""

    def __init__(self, version: int = 1, fixed: list[Item] | None = None) -> None:
        self.version = version
        self.fixed = fixed
        self.asked: list[list[Query]] = []

    def ask(self, queries: Sequence[Query]) -> list[Outcome]:
        self.asked.append(list(queries))
        return [self._answer(query) for query in queries]

    def _answer(self, query: Query) -> Outcome:
        if isinstance(query, SearchQuery) and query.query == "raise":
            return NotComputed("invalid", "the model failed on it")
        if self.fixed is not None:
            return list(self.fixed)
        return [Item(f"{query}", rank / 3 + self.version, "title") for rank in range(query.k)]


def cached(model: CountingModel, entries: int = 100, *, ignores_user: bool = False) -> Cache:
    return Cache(model.ask, entries, "search.requests", ignores_user=ignores_user)


_WORDS = st.sampled_from(["heart", "lunch bag", "ü", "raise", "x" * 500])
_USERS = st.sampled_from([None, "u1", "u2"])
_SEARCHES = st.builds(SearchQuery, _WORDS, st.integers(1, 4), _USERS)
_RECOMMENDS = st.builds(
    RecommendQuery, _USERS, st.integers(1, 4), st.lists(_WORDS, max_size=2).map(tuple), st.booleans()
)
_BATCHES = st.lists(st.lists(_SEARCHES | _RECOMMENDS, min_size=1, max_size=8), max_size=20)


@given(_BATCHES, st.integers(1, 12))
def test_answers_are_those_of_the_model_and_memory_is_bounded(batches: list[list[Query]], entries: int) -> None:
    model, plain = CountingModel(), CountingModel()
    cache = cached(model, entries)
    for batch in batches:
        assert cache.ask(batch) == plain.ask(batch)
        assert len(cache._kept) <= entries
        assert cache._bytes <= entries * BYTES_EACH
        assert (cache._bytes > 0) == bool(cache._kept)
    assert all(asked and len(asked) == len(set(asked)) for asked in model.asked), "each query of a batch once"


@given(st.lists(st.tuples(st.text(max_size=5), st.floats(width=64), st.text(max_size=20)), max_size=5))
def test_an_answer_comes_back_to_the_last_bit(rows: list[tuple[str, float, str]]) -> None:
    model = CountingModel(fixed=[Item(*row) for row in rows])
    cache = cached(model)
    query = SearchQuery("heart", 10)
    (first,), (again,) = cache.ask([query]), cache.ask([query])
    assert len(model.asked) == 1
    assert repr(first) == repr(again) == repr(model.fixed), "repr: to the last bit, and NaN equals NaN"


def test_what_was_asked_for_longest_ago_is_forgotten_first() -> None:
    model = CountingModel()
    cache = cached(model, entries=2)
    for word in ("a", "b", "a", "c", "a", "b"):
        cache.ask([SearchQuery(word, 1)])
    assert [batch[0].query for batch in model.asked if isinstance(batch[0], SearchQuery)] == ["a", "b", "c", "b"]


def test_another_k_is_another_query_and_another_user_only_where_it_matters() -> None:
    for ignores_user, asked in ((True, 2), (False, 4)):
        model = CountingModel(fixed=[])
        cache = cached(model, ignores_user=ignores_user)
        cache.ask([SearchQuery("heart", k, user) for k in (10, 20) for user in ("u1", "u2")])
        assert [len(batch) for batch in model.asked] == [asked]
    assert HybridSearch.ignores_user


def test_other_filters_facets_or_reasons_are_another_query() -> None:
    wishes = [
        None,
        Refined((Filter("price", 1, 2),)),
        Refined((Filter("price", 1, 3),)),
        Refined((Filter("colour", 1, 2),)),
        Refined((Filter("price", values=("1", "2")),)),
        Refined(facets=("price",)),
        Refined(facets=("price", "colour")),
        Refined(explain=True),
    ]
    for ignores_user in (True, False):
        model = CountingModel()
        cache = cached(model, ignores_user=ignores_user)
        queries: list[Query] = [SearchQuery("heart", 1, None, refined) for refined in wishes]
        queries += [RecommendQuery("u1", 1, refined=refined) for refined in wishes]
        assert cache.ask(queries) == cache.ask(queries)
        assert [len(asked) for asked in model.asked] == [len(queries)]


def test_facets_and_reasons_come_back_from_the_cache() -> None:
    facets = {
        "price": Facet(count=2, ranges=[FacetRange(0.1, 2.0, 2)]),
        "colour": Facet(count=2, values=[FacetValue("red", 1)]),
    }
    items = [
        Item("a", 0.1, "Lamp", Why(["Lamp"], 0.1, 0.0)),
        Item("b", 0.0, "Hat", Why(because=[Because("a", "Lamp", 0.2)])),
    ]
    model = CountingModel(fixed=items)
    cache = Cache(
        lambda queries: [Faceted(items, facets) for _ in model.ask(queries)], 9, "search.requests", ignores_user=True
    )
    query = SearchQuery("heart", 2, refined=Refined(facets=("price", "colour"), explain=True))
    for _ in range(2):
        [answer] = cache.ask([query])
        assert isinstance(answer, Faceted)
        assert (list(answer), answer.facets) == (items, facets)
    assert len(model.asked) == 1


def test_a_purchase_changes_the_next_recommendation() -> None:
    model = CountingModel()
    cache = cached(model, ignores_user=True)
    before = cache.ask([RecommendQuery("u1", 3, ("a", "b"))])
    after = cache.ask([RecommendQuery("u1", 3, ("a", "b", "c"))])
    assert len(model.asked) == 2
    assert before != after
    cache.ask([RecommendQuery("u2", 3, ("a", "b"))])
    assert len(model.asked) == 3, "one user's answer is not given to another"


def test_two_models_share_nothing() -> None:
    query = SearchQuery("heart", 1)
    first, second = (cached(CountingModel(version)).ask([query]) for version in (1, 2))
    assert first != second


def test_failures_are_shared_in_a_batch_and_not_kept() -> None:
    model = CountingModel()
    cache = cached(model)
    failed = NotComputed("invalid", "the model failed on it")
    bad = SearchQuery("raise", 1)
    assert cache.ask([bad, bad]) == [failed, failed]
    assert cache.ask([bad]) == [failed]
    assert [len(batch) for batch in model.asked] == [1, 1]


def test_lookups_are_counted_by_how_they_ended() -> None:
    def counts() -> list[float]:
        children = (telemetry.CACHE_LOOKUPS.labels("search.requests", result) for result in ("hit", "miss", "shared"))
        return [child._value.get() for child in children]

    before = counts()
    cache = cached(CountingModel())
    a, b = SearchQuery("a", 1), SearchQuery("b", 1)
    cache.ask([a, a, a, b])
    cache.ask([a, b, a])
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [3, 2, 2]


def filled(answer: list[Item], entries: int, words: Iterable[str]) -> tuple[Cache, int]:
    """A cache after these searches, and the bytes that Python allocated for it."""
    cache = Cache(lambda queries: [answer] * len(queries), entries, "search.requests", ignores_user=True)
    tracemalloc.start()
    for word in words:
        cache.ask([SearchQuery(word, 100)])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return cache, held


def test_the_bound_is_what_python_really_takes() -> None:
    """With long queries and a hundred long titles each, the cache stays within its bound by tracemalloc's count."""
    entries = 1000
    answer = [Item(f"item-{number}", number / 7, "a product with a long title " * 2) for number in range(100)]
    cache, held = filled(answer, entries, (f"{number} {'ü' * 1900}" for number in range(2 * entries)))
    assert 100 < len(cache._kept) < entries
    assert held < entries * BYTES_EACH * 1.05


def test_short_entries_are_counted_in_full_too() -> None:
    entries = 5000
    cache, held = filled([], entries, map(str, range(3 * entries)))
    assert len(cache._kept) == entries
    assert held < cache._bytes * 1.1
