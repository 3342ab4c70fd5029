"""Search: it finds the products people type, answers within k, and keeps its measured quality."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.base import SearchQuery
from models.data.catalogue import Catalogue
from models.evaluation.metrics import ndcg
from tests.fixtures_models import shared_data
from tests.support.index_words import words

if TYPE_CHECKING:
    from pathlib import Path

    from models.search.model import HybridSearch


def _titles(model: HybridSearch, query: str, k: int = 10) -> list[str]:
    return [item.title for item in model.predict([SearchQuery(query, k)])[0]]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("white hanging heart", r"HANGING.*HEART|HEART.*HANGING"),
        ("lunch bag", r"LUNCH BAG"),
        ("lunch bags", r"LUNCH BAG"),
        ("christmas decoration", r"CHRISTMAS|DECORATION"),
    ],
)
def test_the_first_products_are_what_was_typed(search_model: HybridSearch, query: str, wanted: str) -> None:
    titles = _titles(search_model, query)
    assert sum(bool(re.search(wanted, title)) for title in titles) >= 8, titles


def test_the_best_known_product_of_the_shop_is_among_the_first(search_model: HybridSearch) -> None:
    assert "WHITE HANGING HEART T-LIGHT HOLDER" in _titles(search_model, "white hanging heart", 3)


def test_a_product_code_finds_its_product(search_model: HybridSearch) -> None:
    assert search_model.predict([SearchQuery("85123a", 1)])[0][0].item_id == "85123A"


def test_words_no_product_has_are_answered_by_meaning(search_model: HybridSearch) -> None:
    titles = _titles(search_model, "timepiece")
    assert sum("CLOCK" in title for title in titles) >= 8, titles


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(max_size=40), st.integers(0, 5000)), max_size=5))
def test_any_texts_and_sizes_are_answered_in_order_and_within_k(
    search_model: HybridSearch, queries: list[tuple[str, int]]
) -> None:
    answers = search_model.predict([SearchQuery(text, k) for text, k in queries])
    assert [len(answer) for answer in answers] == [min(k, 3747) for _, k in queries]
    for answer in answers:
        scores = [item.score for item in answer]
        assert scores == sorted(scores, reverse=True)


def test_a_query_is_answered_the_same_alone_and_in_a_batch(search_model: HybridSearch) -> None:
    texts = ["lunch bag", "red retrospot cake stand for a party of twelve", "", "t-light"]
    batch = search_model.predict([SearchQuery(text, 5) for text in texts])
    for text, answer in zip(texts, batch, strict=True):
        alone = search_model.predict([SearchQuery(text, 5)])[0]
        assert [item.score for item in alone] == pytest.approx([item.score for item in answer], abs=1e-4)


@pytest.mark.parametrize(
    "text", ["white hanging heart t-light holder", "lunch bag", "Weihnachtsbaumschmuck", "x " * 900]
)
def test_the_cost_of_a_query_is_about_its_tokens(search_model: HybridSearch, text: str) -> None:
    [tokens] = [len(encoding.ids) for encoding in search_model._encoder._tokenizer.encode_batch([text])]
    assert 0.6 * tokens <= search_model.cost(SearchQuery(text, 10)) <= 1.5 * tokens
    assert search_model.cost(SearchQuery("\ud800", 10)) > 0


def test_plurals_meet_their_singulars_and_stop_words_are_left_out() -> None:
    assert words("The BAGS of parties, boxes & glass") == ["bag", "party", "box", "glass"]
    assert words("candies candy") == ["candy", "candy"]


def test_cranfield_keeps_its_quality(tmp_path: Path) -> None:
    from models.search.lexical import build_lexical, load_lexical

    data = shared_data("cranfield")
    text = gzip.decompress((data / "cran.all.1400.xml.gz").read_bytes()).decode()
    docs = re.findall(r"<docno>(.*?)</docno>.*?<title>(.*?)</title>.*?<text>(.*?)</text>", text, re.DOTALL)
    queries = re.findall(
        r"<title>(.*?)</title>", gzip.decompress((data / "cran.qry.xml.gz").read_bytes()).decode(), re.DOTALL
    )
    relevant: dict[int, set[int]] = {}
    row = {int(number): index for index, (number, _, _) in enumerate(docs)}
    for line in gzip.decompress((data / "cranqrel.trec.txt.gz").read_bytes()).decode().splitlines():
        query, _, doc, grade = line.split()
        if int(grade) > 0 and int(doc) in row:
            relevant.setdefault(int(query) - 1, set()).add(row[int(doc)])
    build_lexical([f"{title} {body}" for _, title, body in docs], tmp_path)
    lexical = load_lexical(tmp_path, len(docs))
    scores = lexical.scores([*map(lexical.read, queries)])
    ranked = (-scores).argsort(axis=1, kind="stable")[:, :10].tolist()
    quality = sum(ndcg(ranked[query], wanted) for query, wanted in relevant.items()) / len(relevant)
    assert quality > 0.36, f"BM25 alone on Cranfield: nDCG@10 {quality:.4f}"


def test_a_catalogue_of_one_product_without_a_word_is_searchable(tmp_path: Path, search_model: HybridSearch) -> None:
    import torch

    from models.search.model import build_search, load_search

    encoder = search_model._encoder
    build_search(
        Catalogue(["☃-1"], ["☃"], ["☃"], ""), torch.nn.functional.normalize(torch.ones(1, 384)), encoder, tmp_path
    )
    answers = load_search(tmp_path, "search@9", "cpu").predict([SearchQuery("snow man", 10), SearchQuery("", 1)])
    assert [[item.item_id for item in answer] for answer in answers] == [["☃-1"], ["☃-1"]]
