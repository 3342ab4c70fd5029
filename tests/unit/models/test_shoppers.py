"""What shoppers type finds the wanted product among the first three; German shops have stems and compounds too."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from bench.quality.shoppers import Judged, judged
from models.base import SearchQuery
from models.data.catalogue import Catalogue
from models.encoder.model import Encoder
from models.search.languages import CODES, detected, language
from models.search.lexical import build_lexical, load_lexical
from models.search.model import HybridSearch, build_search, load_search
from standfast.core.errors import ModelError

_GERMAN = {
    "h1": "Handtasche Leder rot",
    "u1": "Umhängetasche aus Stoff",
    "t1": "Tasche für die Reise",
    "w1": "Weihnachtsbaumschmuck aus Glas",
    "b1": "Baumschmuck mit Stern",
    "k1": "Teekanne und Tasse",
    "s1": "Schlüssel für den Garten",
    "f1": "Fußmatte für die Tür",
    "l1": "Lampe mit Schirm",
}


@pytest.fixture(scope="module")
def german(exact_encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> HybridSearch:
    folder = tmp_path_factory.mktemp("german")
    texts = list(_GERMAN.values())
    build_search(Catalogue(list(_GERMAN), texts, texts, ""), exact_encoder.encode(texts), exact_encoder, folder)
    return load_search(folder, "search@1", "cpu")


def _found(model: HybridSearch, searches: Iterable[Judged]) -> float:
    """The share of searches with a wanted product among the first three."""
    first_three = [
        (search, [item.item_id for item in model.predict([SearchQuery(search.text, 3)])[0]]) for search in searches
    ]
    return sum(bool(search.wanted.intersection(ids)) for search, ids in first_three) / len(first_three)


def test_the_wanted_product_is_among_the_first_three(search_model: HybridSearch) -> None:
    searches = judged()
    assert len(searches) == 60
    assert _found(search_model, searches) >= 0.9
    assert _found(search_model, [search for search in searches if search.unseen]) >= 0.9


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("umbrela", "umbrella"),
        ("Tradtional TEAPOT", "traditional teapot"),
        ("lunchbox", "lunch box"),
        ("gift for my dad", "dad"),
        ("lcock", "clock"),
    ],
)
def test_a_query_is_read_as_it_was_meant(search_model: HybridSearch, text: str, means: str) -> None:
    assert search_model._ranking.read(text).text == means


@pytest.mark.parametrize(
    "text", ["timepiece", "white hanging heart", "85123A", "gift bag", "xyzzyq", "", "☃", "gift for"]
)
def test_what_is_right_or_like_nothing_is_left_as_it_is(search_model: HybridSearch, text: str) -> None:
    assert search_model._ranking.read(text).text is text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Tasche", {"h1", "u1", "t1"}),
        ("Taschen", {"h1", "u1", "t1"}),
        ("Baum Schmuck", {"b1", "w1"}),
        ("Baumschmuck", {"b1", "w1"}),
        ("handtashe", {"h1"}),
        ("FUSSMATTE", {"f1"}),
        ("schlussel", {"s1"}),
        ("Lampen", {"l1"}),
    ],
)
def test_a_german_shop_knows_its_stems_and_compounds(german: HybridSearch, text: str, wanted: set[str]) -> None:
    """By its words: the bundled encoder knows English only."""
    assert german._config.language == "de"
    [scores] = german._ranking.lexical.scores([german._ranking.read(text)])
    assert {item_id for item_id, score in zip(_GERMAN, scores, strict=True) if score > 0} == wanted


def test_a_language_is_told_by_its_stop_words_and_english_where_there_are_none(search_model: HybridSearch) -> None:
    assert search_model._config.language == "en"
    assert detected(["sac à main pour la plage", "tasse avec des fleurs"]) == "fr"
    assert detected(["röd väska och en hatt", "kanna med blommor för te"]) == "sv"
    assert detected(["red lamp", "陶瓷茶杯"]) == "en"
    assert [language(code).stem([]) for code in ("", *CODES)] == [[]] * (1 + len(CODES))
    with pytest.raises(ModelError, match=r"language 'xx' is unknown \(known: en, da"):
        language("xx")


def test_a_longer_text_with_both_words_is_before_a_shorter_one_with_one(tmp_path: Path) -> None:
    texts = ["red umbrella", "folding umbrella with a long handle in blue and black with a polkadot pattern", "red mug"]
    build_lexical([*texts, *(f"thing {number}" for number in range(20))], tmp_path)
    lexical = load_lexical(tmp_path, 23)
    scores = lexical.scores([lexical.read("blue umbrella")])[0]
    assert scores.argmax() == 1
    assert 0 < scores.max() <= 1


def test_a_model_of_a_release_without_languages_answers_as_it_was_built(
    search_model: HybridSearch, tmp_path: Path
) -> None:
    """Its index has singulars for stems, and no file of written words."""
    encoder, texts = search_model._encoder, ["parties and candies", "party hat", "glass dish"]
    build_search(Catalogue(["a", "b", "c"], texts, texts, ""), encoder.encode(texts), encoder, tmp_path)
    build_lexical(texts, tmp_path / "lexical", ["a", "b", "c"], "")
    (tmp_path / "lexical" / "written.json").unlink()
    stored = msgspec.json.decode((tmp_path / "search.json").read_bytes())
    del stored["language"]
    (tmp_path / "search.json").write_bytes(msgspec.json.encode(stored))
    answers = load_search(tmp_path, "search@1", "cpu").predict(
        [SearchQuery("candy parties", 1), SearchQuery("dishs", 3)]
    )
    assert [item.item_id for item in answers[0]] == ["a"]
    assert len(answers[1]) == 3
