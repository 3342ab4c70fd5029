"""Search and recommendation with filters, counts and reasons: never a product outside, and the best of those inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.serving.output_guard import OutputGuard
from models.attributes.reading import Attributes, attributes_of
from models.base import Change, Faceted, Filter, RecommendQuery, Refined, SearchQuery
from models.data.catalogue import Catalogue
from models.data.shop import load_catalogue
from models.encoder.model import Encoder
from models.kernels.ragged import Ragged
from models.recommend.blend import Blend
from models.recommend.model import Recommender, load_recommender
from models.search.model import HybridSearch, build_search, load_search
from schemas.records import Item

_TITLES = (
    "white hanging heart t-light holder",
    "red retrospot lunch bag",
    "set of 3 cake tins pantry design",
    "jumbo storage bag skulls",
    "glass star frosted t-light holder",
    "lunch bag zorblax",
    "wooden picture frame white finish",
    "blue umbrella",
)
_IDS = tuple(f"p{number}" for number in range(len(_TITLES)))
_QUERIES = ("lunch bag", "white heart", "p3", "timepiece", "blue umbrella", "storage for cakes")
_attributes = st.fixed_dictionaries(
    {"price": st.sampled_from([1.0, 2.5, 5.0, 20.0])}, optional={"colour": st.sampled_from(["red", "blue"])}
).map(attributes_of)
_shops = st.dictionaries(st.sampled_from(_IDS), st.tuples(st.sampled_from(_TITLES), _attributes), min_size=1)
_filters = st.lists(
    st.one_of(
        st.sampled_from([Filter("price", 2.0, 6.0), Filter("price", most=1.0), Filter("price", values=("5", "20"))]),
        st.sampled_from([Filter("colour", values=("red",)), Filter("colour", values=("red", "blue"))]),
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda wanted: wanted.attribute,
).map(tuple)
_vectors: dict[str, torch.Tensor] = {}
Shop = Mapping[str, tuple[str, Attributes]]


@contextmanager
def trained(products: Shop, encoder: Encoder, exact_up_to: int = 200_000) -> Iterator[HybridSearch]:
    """A search model of these products; with cells where there are more than `exact_up_to`."""
    if not _vectors:
        _vectors.update(zip(_TITLES, encoder.encode(_TITLES), strict=True))
    titles, attributes = [title for title, _ in products.values()], [each for _, each in products.values()]
    with TemporaryDirectory() as folder:
        catalogue = Catalogue(list(products), titles, titles, "0", attributes)
        vectors = torch.stack([_vectors[title] for title in titles])
        build_search(catalogue, vectors, encoder, Path(folder), exact=True, exact_up_to=exact_up_to)
        yield load_search(Path(folder), "search@1", "cpu")


def asked(model: HybridSearch, refined: Refined | None, k: int) -> list[list[Item]]:
    """The answers to all queries, each refused by the guard if it misses a product."""
    queries = [SearchQuery(query, k, refined=refined) for query in _QUERIES]
    found = model.predict(queries)
    OutputGuard("search", model).check(queries, found)
    return found


def holds(filters: tuple[Filter, ...], attributes: Attributes) -> bool:
    values = dict(attributes)
    return all(
        wanted.attribute in values
        and (
            str(values[wanted.attribute]).removesuffix(".0") in wanted.values
            if wanted.values
            else wanted.least <= float(str(values[wanted.attribute])) <= wanted.most
        )
        for wanted in filters
    )


@settings(max_examples=40)
@given(before=_shops, after=_shops, filters=_filters, k=st.integers(1, 4))
@pytest.mark.parametrize("exact_up_to", [0, 200_000], ids=["cells", "all"])
def test_a_filtered_search_is_the_ranking_of_all_without_what_is_outside(
    exact_encoder: Encoder, before: Shop, after: Shop, filters: tuple[Filter, ...], k: int, exact_up_to: int
) -> None:
    """Also after products came, changed and went, by their texts, or by their price alone."""
    filters = tuple(each for each in filters if any(each.attribute in dict(one) for _, one in before.values()))
    with trained(before, exact_encoder, exact_up_to) as model:
        for item_id, (title, attributes) in after.items():
            change = Change(item_id, title, title, attributes)
            model.change(change, _vectors[title].numpy().tobytes() if model.needs_vector(change) else b"")
        for item_id in before.keys() - after.keys():
            model.change(Change(item_id, None), b"")
        known = {name for _, one in before.values() for name, _ in one}
        now = {item_id: tuple(pair for pair in one if pair[0] in known) for item_id, (_, one) in after.items()}
        every = asked(model, None, 100)
        for all_of_query, found in zip(every, asked(model, Refined(filters), k), strict=True):
            assert all(holds(filters, now[item.item_id]) for item in found)
            inside = [item for item in all_of_query if holds(filters, now[item.item_id])]
            if exact_up_to:
                assert [item.score for item in found] == pytest.approx([item.score for item in inside[:k]], abs=1e-5)
            assert len(found) == min(k, sum(holds(filters, each) for each in now.values()))
        mixed = [
            SearchQuery(query, 3, refined=Refined(filters) if row % 2 else None) for row, query in enumerate(_QUERIES)
        ]
        for query, answer in zip(mixed, model.predict(mixed), strict=True):
            scores = [item.score for item in model.predict([query])[0]]
            assert [item.score for item in answer] == pytest.approx(scores, abs=1e-5), "in a batch as alone"


def test_a_price_that_changes_alone_needs_no_vector_and_goes_back(exact_encoder: Encoder) -> None:
    with trained({"p1": (_TITLES[1], (("price", 5.0),))}, exact_encoder) as model:
        dear = Refined((Filter("price", 10.0, 30.0),))

        def found() -> list[str]:
            return [item.item_id for item in model.predict([SearchQuery("lunch bag", 5, refined=dear)])[0]]

        change = Change("p1", _TITLES[1], _TITLES[1], (("price", 20.0),))
        assert (found(), model.needs_vector(change)) == ([], False)
        model.change(change, b"")
        assert found() == ["p1"]
        assert model._changes is None, "it stays in the trained index"
        model.change(Change("p1", _TITLES[1], _TITLES[1], (("price", 5.0),)), b"")
        assert found() == []
        model.change(change, b"")
        model.restore("p1")
        assert found() == []


def test_the_whole_sample_shop_is_filtered_as_a_loop_over_it_would(search_model: HybridSearch) -> None:
    """Few and many products: both ways in which they are compared."""
    shop = load_catalogue()
    prices = {item_id: dict(one).get("price") for item_id, one in zip(shop.item_ids, shop.attributes, strict=True)}
    every = search_model.predict([SearchQuery("red christmas lamp", 4000)])[0]
    for least, most in ((0.1, 50.0), (2.0, 2.1), (90.0, 95.0)):
        query = SearchQuery("red christmas lamp", 20, refined=Refined((Filter("price", least, most),)))
        inside = [item for item in every if least <= float(str(prices[item.item_id])) <= most][:20]
        [found] = search_model.predict([query])
        assert [item.score for item in found] == pytest.approx([item.score for item in inside], abs=1e-4)
        assert {item.item_id for item in found} <= {
            item for item, price in prices.items() if least <= float(str(price)) <= most
        }


def test_what_a_wide_filter_leaves_is_ranked_as_what_a_narrow_one_leaves(
    monkeypatch: pytest.MonkeyPatch, search_model: HybridSearch
) -> None:
    """With more than `_FEW` left by the filter, the best are chosen by the vectors as they serve, then in float32."""
    query = SearchQuery("white hanging heart", 10, refined=Refined((Filter("price", 0.5, 5.0),)))
    [exact] = search_model.predict([query])
    monkeypatch.setattr("models.search.ranking._FEW", 10)
    [found] = search_model.predict([query])
    assert [item.item_id for item in found] == [item.item_id for item in exact]


def test_facets_count_what_has_half_of_the_querys_words_and_ignore_their_own_filter(exact_encoder: Encoder) -> None:
    shop: Shop = {
        "a": ("red lamp", (("category", "Lamps"), ("price", 5.0))),
        "b": ("blue lamp", (("category", "Lamps"), ("price", 7.0))),
        "c": ("red hat", (("category", "Hats"), ("price", 9.0))),
        "d": ("garden lamp", (("category", "Garden"), ("price", 50.0))),
    }
    _vectors.update({title: exact_encoder.encode([title])[0] for title, _ in shop.values()})
    with trained(shop, exact_encoder) as model:

        def counts(query: str, *filters: Filter) -> dict[str, dict[str, int]]:
            refined = Refined(filters, ("category", "price"))
            [answer] = model.predict([SearchQuery(query, 2, refined=refined)])
            assert isinstance(answer, Faceted)
            return {
                name: {each.value: each.count for each in facet.values}
                or {f"{each.min:g}..{each.max:g}": each.count for each in facet.ranges}
                for name, facet in answer.facets.items()
            }

        assert counts("lamp") == {
            "category": {"Lamps": 2, "Garden": 1},
            "price": {"5..5": 1, "7..7": 1, "50..50": 1},
        }
        assert counts("lamp", Filter("category", values=("Garden",))) == {
            "category": {"Lamps": 2, "Garden": 1},
            "price": {"50..50": 1},
        }
        assert counts("lamp", Filter("price", 0, 10)) == {
            "category": {"Lamps": 2},
            "price": {"5..5": 1, "7..7": 1, "50..50": 1},
        }
        model.change(Change("b", None), b"")
        model.change(Change("a", "red lamp", "red lamp", (("category", "Hats"), ("price", 1.0))), b"")
        assert counts("lamp")["category"] == {"Garden": 1, "Hats": 1}
        assert sum(counts("timepiece")["category"].values()) == 3, "no word is known: the nearest in meaning"


def test_an_answer_says_why_each_product_is_in_it(exact_encoder: Encoder) -> None:
    shop: Shop = {"A-1": ("Red LAMPS of Oak", ()), "B-2": ("Blue hat", ()), "C-3": ("Umbrella", ())}
    _vectors.update({title: exact_encoder.encode([title])[0] for title, _ in shop.values()})
    with trained(shop, exact_encoder) as model:

        def why(query: str) -> dict[str, Item]:
            [answer] = model.predict([SearchQuery(query, 3, refined=Refined(explain=True))])
            [plain] = model.predict([SearchQuery(query, 3)])
            assert [(item.item_id, item.score) for item in answer] == [(item.item_id, item.score) for item in plain]
            return {item.item_id: item for item in answer}

        for query, item_id, words in (
            ("lamp red", "A-1", ["LAMPS", "Red"]),
            ("umbrela", "C-3", ["Umbrella"]),
            ("lamp red", "B-2", []),
        ):
            reason = why(query)[item_id].why
            assert reason is not None
            assert reason.words == words
            assert reason.by_words is not None
            assert reason.by_meaning is not None
            assert (reason.by_words > 0) == bool(words)
            assert reason.by_words + reason.by_meaning == pytest.approx(why(query)[item_id].score, abs=1e-5)
        for query, item_id, exact in (("b-2", "B-2", "code"), ("umbrellas", "C-3", "title")):
            reason = why(query)[item_id].why
            assert reason is not None
            assert (reason.exact, reason.by_words) == (exact, None)
        model.change(Change("D-4", "Green Parasol", "Green Parasol. for the garden"), model.vector("Green Parasol"))
        reason = why("garden parasols")["D-4"].why
        assert reason is not None
        assert reason.words == ["garden", "Parasol"], "of the description, as it was read"


@pytest.fixture
def recommender(trained_shop: Path) -> Recommender:
    """The recommendation model of the sample shop, for one test that changes it."""
    return load_recommender(trained_shop / "models" / "recommend" / "1", "recommend@1", "cpu")


@settings(max_examples=20)
@given(
    user=st.sampled_from([None, "17850", "12347", "nobody"]),
    bounds=st.tuples(st.floats(0, 10), st.floats(0, 10)),
    k=st.sampled_from([1, 10, 100]),
    exclude=st.booleans(),
)
def test_filtered_recommendations_are_the_best_of_what_is_inside(
    recommend_model: Recommender, user: str | None, bounds: tuple[float, float], k: int, exclude: bool
) -> None:
    shop = load_catalogue()
    prices = {
        item_id: float(str(dict(one)["price"])) for item_id, one in zip(shop.item_ids, shop.attributes, strict=True)
    }
    least, most = min(bounds), max(bounds)
    refined = Refined((Filter("price", least, most),))
    query = RecommendQuery(user, k, ("22423",), exclude, refined)
    [every] = recommend_model.predict([RecommendQuery(user, 5000, ("22423",), exclude)])
    [plain, found] = recommend_model.predict([RecommendQuery(user, k, ("22423",), exclude), query])
    OutputGuard("recommend", recommend_model).check([query], [found])
    assert found == [item for item in every if least <= prices[item.item_id] <= most][:k]
    assert plain == every[:k], "another request of the batch is not filtered"


def test_a_new_price_counts_for_recommendations(recommender: Recommender) -> None:
    [[best]] = recommender.predict([RecommendQuery(None, 1)])
    refined = Refined((Filter("price", 7_000.0, 8_000.0),))
    assert recommender.predict([RecommendQuery(None, 5, refined=refined)]) == [[]]
    recommender.change(Change(best.item_id, best.title, attributes=(("price", 7_777.0),)), b"")
    assert [item.item_id for item in recommender.predict([RecommendQuery(None, 5, refined=refined)])[0]] == [
        best.item_id
    ]
    recommender.restore(best.item_id)
    assert recommender.predict([RecommendQuery(None, 5, refined=refined)]) == [[]]


def test_a_recommendation_says_what_it_follows_from(recommend_model: Recommender) -> None:
    """The product that adds most to a score is one without which the product scores less."""
    history = ("22423", "20725", "84879")
    [answer] = recommend_model.predict([RecommendQuery("x", 10, history, refined=Refined(explain=True))])
    reasons = [item.why.because for item in answer if item.why is not None]
    assert len(reasons) == 10
    for because in reasons:
        assert because[0].item_id in history
        assert because[0].title
        assert because[0].score == max(each.score for each in because) > 0
    [unknown] = recommend_model.predict([RecommendQuery(None, 5, refined=Refined(explain=True))])
    assert [item.why for item in unknown] == [None] * 5, "without a history there is no such reason"


def test_what_each_product_of_a_history_adds_makes_the_score(recommend_model: Recommender) -> None:
    row = [recommend_model._indices[item] for item in ("22423", "20725", "84879")]
    items = list(range(200))
    blend = recommend_model._scorer
    additive = [(scorer, weight) for scorer, weight in blend._parts if hasattr(scorer, "apart")]
    assert additive, "the sample shop's blend has a recommender by items or texts"
    for scorer, _ in additive:
        scores = Blend([(scorer, 1.0)], torch.zeros(len(recommend_model._config.item_ids)))
        added = scores.apart(row, items).sum(dim=0)
        [whole] = scores.scores(Ragged.of([row]))
        assert torch.allclose(added, whole[:200], atol=1e-2 * float(whole.abs().max())), type(scorer).__name__
        assert F.cosine_similarity(added, whole[:200], dim=0) > 0.99
