"""Products that change after training: search and recommendation answer as if trained from the changed catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.serving.output_guard import OutputGuard
from models.base import Change, Changeable, RecommendQuery, SearchQuery
from models.data.catalogue import Catalogue
from models.encoder.model import Encoder
from models.recommend.model import Recommender, load_recommender
from models.search.inverted_file import build_inverted_file
from models.search.model import HybridSearch, SearchConfig, build_search, load_search
from schemas.records import Item

_TITLES = (
    "white hanging heart t-light holder",
    "red retrospot lunch bag",
    "set of 3 cake tins pantry design",
    "jumbo storage bag skulls",
    "zorblax AB-1",
    "glass star frosted t-light holder",
    "lunch bag zorblax",
    "wooden picture frame white finish",
)
_IDS = ("85123A", "20725", "22720", "zx-9", "POST", "84029G")
_QUERIES = ("lunch bag", "zorblax", "white heart", "84029 g", "ab-1", "storage for cakes", *_TITLES, *_IDS)
_catalogues = st.dictionaries(st.sampled_from(_IDS), st.sampled_from(_TITLES), min_size=1)
_vectors: dict[str, torch.Tensor] = {}


@contextmanager
def trained(products: Mapping[str, str], encoder: Encoder, weight: float = 0.5) -> Iterator[HybridSearch]:
    """A search model trained from these titles by id."""
    if not _vectors:
        _vectors.update(zip(_TITLES, encoder.encode(_TITLES), strict=True))
    vectors = torch.stack([_vectors[title] for title in products.values()])
    with TemporaryDirectory() as name:
        folder, titles = Path(name), list(products.values())
        build_search(Catalogue(list(products), titles, titles, "0"), vectors, encoder, folder, exact=True)
        config = msgspec.json.decode((folder / "search.json").read_bytes(), type=SearchConfig)
        changed = msgspec.structs.replace(config, lexical_weight=weight)
        (folder / "search.json").write_bytes(msgspec.json.encode(changed))
        yield load_search(folder, "search@1", "cpu")


def put(model: HybridSearch, item_id: str, title: str) -> None:
    model.change(Change(item_id, title, title), _vectors[title].numpy().tobytes())


def delete(model: Changeable, item_id: str) -> None:
    model.change(Change(item_id, None), b"")


def answers(model: HybridSearch, k: int = 10) -> list[list[Item]]:
    queries = [SearchQuery(query, k) for query in _QUERIES]
    found = model.predict(queries)
    OutputGuard("search", model).check(queries, found)  # which would refuse an answer that misses products
    return found


def same(one: list[list[Item]], other: list[list[Item]]) -> None:
    """The same products and titles, in the same order where their scores differ, with the same scores."""
    for query, first, second in zip(_QUERIES, one, other, strict=True):
        assert {(item.item_id, item.title) for item in first} == {(item.item_id, item.title) for item in second}, query
        assert [item.score for item in first] == pytest.approx([item.score for item in second], abs=1e-5), query
        scores = {item.item_id: item.score for item in second}
        assert [item.score for item in first] == pytest.approx([scores[item.item_id] for item in first], abs=1e-5)


def changes(model: HybridSearch, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    for item_id, title in after.items():
        if before.get(item_id) != title:
            put(model, item_id, title)
    for item_id in before.keys() - after.keys():
        delete(model, item_id)


@settings(max_examples=30)
@given(before=_catalogues, between=_catalogues, after=_catalogues)
def test_changes_give_the_answers_of_a_model_trained_from_the_changed_catalogue(
    exact_encoder: Encoder, before: dict[str, str], between: dict[str, str], after: dict[str, str]
) -> None:
    """By vectors and exact names; words are weighed by the statistics at training, which is the next test's."""
    with trained(before, exact_encoder, weight=0.0) as model, trained(after, exact_encoder, weight=0.0) as again:
        changes(model, before, between)
        changes(model, between, after)
        same(answers(model), answers(again))


@settings(max_examples=20)
@given(products=_catalogues)
def test_what_is_written_again_as_it_was_trained_changes_no_score(
    exact_encoder: Encoder, products: dict[str, str]
) -> None:
    """So it is the same whether training knew the changes, and workers lay them over its model once more, or not."""
    with trained(products, exact_encoder) as model:
        before = answers(model)
        for item_id, title in products.items():
            model._changed().put(item_id, title, title, _vectors[title])
        same(answers(model), before)
        for item_id, title in products.items():
            assert not model.needs_vector(Change(item_id, title, title)), "training knew it: nothing is kept beside it"
            assert model.needs_vector(Change(item_id, title, f"{title} of oak"))
            model.change(Change(item_id, title, title), b"")
        assert model._changed()._rows == {}
        same(answers(model), before)
        for item_id in products:
            delete(model, item_id)
        assert answers(model) == [[] for _ in _QUERIES]
        for item_id in products:
            model.restore(item_id)
        same(answers(model), before)


@pytest.fixture(scope="module")
def sample_search(trained_shop: Path) -> HybridSearch:
    """The search model of the sample shop, for tests that change it."""
    return load_search(trained_shop / "models" / "search" / "1", "search@1", "cpu")


@pytest.fixture
def sample_recommend(trained_shop: Path) -> Recommender:
    """The recommendation model of the sample shop, for one test that changes it."""
    return load_recommender(trained_shop / "models" / "recommend" / "1", "recommend@1", "cpu")


def found(model: HybridSearch, query: str, k: int = 3) -> list[str]:
    [answer] = model.predict([SearchQuery(query, k)])
    return [item.item_id for item in answer]


def test_a_new_product_is_found_by_a_word_that_no_product_had_and_by_its_code(sample_search: HybridSearch) -> None:
    new = Change("NEW-77x", "Grimblewick lamp", "Grimblewick lamp. a lamp of moss")
    try:
        sample_search.change(new, sample_search.vector(new.text))
        for query in ("grimblewick", "GRIMBLEWICKS", "Grimblewick Lamp", "new-77X", "new77x", "new 77 x"):
            assert found(sample_search, query)[0] == "NEW-77x", query
        [answer] = sample_search.predict([SearchQuery("grimblewick lamp", 1)])
        assert answer[0].title == "Grimblewick lamp"
    finally:
        sample_search.restore("NEW-77x")
    assert "NEW-77x" not in found(sample_search, "grimblewick", 100)


def test_a_changed_product_is_found_by_its_new_title_and_not_by_its_old_one(sample_search: HybridSearch) -> None:
    old_title, item_id = "WHITE HANGING HEART T-LIGHT HOLDER", "85123A"
    assert found(sample_search, old_title)[0] == item_id
    try:
        changed = Change(item_id, "Turquoise gnome", "Turquoise gnome")
        sample_search.change(changed, sample_search.vector(changed.text))
        assert found(sample_search, "turquoise gnomes")[0] == item_id
        assert found(sample_search, item_id)[0] == item_id
        assert item_id not in found(sample_search, old_title, 10)
        delete(sample_search, item_id)
        assert item_id not in {*found(sample_search, item_id, 100), *found(sample_search, "turquoise gnomes", 100)}
    finally:
        sample_search.restore(item_id)
    assert found(sample_search, old_title)[0] == item_id


def test_a_large_catalogue_that_is_searched_by_cells_hides_what_is_deleted(sample_search: HybridSearch) -> None:
    ranking = sample_search._ranking
    inverted_file, _ = build_inverted_file(ranking.vectors)
    reading = ranking.read("lunch bag")
    vector = sample_search._encoder.encode(["lunch bag"])
    [[best, *others]] = ranking.rank_nearest_cells([reading], vector, 5, inverted_file, 10)[1]
    ranking.hide(best, hidden=True)
    try:
        assert ranking.rank_nearest_cells([reading], vector, 5, inverted_file, 10)[1][0][:4] == others
    finally:
        ranking.hide(best, hidden=False)


def test_a_deleted_product_is_never_recommended_until_it_is_written_again(sample_recommend: Recommender) -> None:
    model = sample_recommend
    queries = [RecommendQuery(None, 10), RecommendQuery("17850", 10), RecommendQuery("x", 10, ("85123A",))]
    before = model.predict(queries)
    first = before[0][0].item_id
    delete(model, first)
    delete(model, "of no training")
    assert first not in {item.item_id for answer in model.predict(queries) for item in answer}
    model.change(Change(first, "its new title"), b"")
    again = model.predict(queries)
    assert (again[0][0].item_id, again[0][0].title) == (first, "its new title")
    model.restore(first)
    assert model.predict(queries) == before


def test_when_all_products_are_deleted_nothing_is_recommended(sample_recommend: Recommender) -> None:
    model = sample_recommend
    query = RecommendQuery("17850", 10)
    seen = model.seen(query)
    left = next(item_id for index, item_id in enumerate(model._config.item_ids) if index not in seen)
    for item_id in model._config.item_ids:
        if item_id != left:
            delete(model, item_id)
    [answer] = model.predict([query])
    assert [item.item_id for item in answer] == [left]
    OutputGuard("recommend", model).check([query], [answer])
    delete(model, left)
    OutputGuard("recommend", model).check([query], model.predict([query]))
    assert model.predict([RecommendQuery(None, 10)]) == [[]]


def test_both_models_can_be_changed(search_model: HybridSearch, recommend_model: Recommender) -> None:
    assert isinstance(search_model, Changeable)
    assert isinstance(recommend_model, Changeable)
    change = Change("85123A", "another title", "another title")
    assert (search_model.needs_vector(change), recommend_model.needs_vector(change)) == (True, False)
