"""Queries and products become the same words: codes with signs, scripts, Unicode forms, HTML; exact matches first."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import SearchQuery
from models.data.catalogue import Catalogue, read_catalogue
from models.data.text import folded, plain, strip_html
from models.encoder.model import Encoder
from models.search import words as cutting
from models.search.exact import load_exact
from models.search.languages import language, singular
from models.search.model import HybridSearch, build_search, load_search
from models.search.words import codes, key
from tests.support.index_words import words

_PLURALS = language("")
_LONG = "This wonderful item is made with great care by our craftsmen in the north and shipped in a box. " * 20
_PRODUCTS = {
    "16-07": "Garden hose connector brass",
    "16-08": "Garden hose connector plastic",
    "16.07": "Garden gloves",
    "NOR.0707-60": "Shower rail chrome",
    "NOR.0707-90": "Shower rail white",
    "AB_12": "Ceramic bowl blue",
    "wh3": "Sony WH-1000XM3 wireless headphones",
    "wh4": "Sony WH-1000XM4 wireless headphones",
    "b3": "To Be or Not to Be",
    "b7": "Nineteen Eighty-Four 1984",
    "b8": "1984",
    "f1": "crème brûlée dish set",
    "f3": "café table round",
    "x1": "fox figurine",
    "x2": "wolf figurine",
    "x3": "fox",
    "x4": "fox fox fox figurine figurine set",
    "twin1": "garden chair",
    "twin2": "Garden chair",
    "zh0": "红色羊毛围巾",
    "zh4": "陶瓷茶杯",
    "zh12": "棉质毛巾",
    "zh13": "厨房剪刀",
    "ja1": "陶器のコーヒーカップ",
    "ja2": "木製まな板",
    "ko1": "빨간 양모 목도리",
    "ko2": "도마",
    "th1": "ผ้าพันคอขนสัตว์สีแดง",
    "th2": "เขียงไม้",
    "hi1": "लाल ऊनी दुपट्टा",
    "hi2": "लकड़ी का बोर्ड",
    "mix": "iPhone手机壳",
}


@pytest.fixture(scope="module")
def model(exact_encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> HybridSearch:
    folder = tmp_path_factory.mktemp("words")
    texts = [plain(title + (f". {_LONG}" if item == "x1" else "")) for item, title in _PRODUCTS.items()]
    catalogue = Catalogue(list(_PRODUCTS), list(_PRODUCTS.values()), texts, "")
    build_search(catalogue, exact_encoder.encode(texts), exact_encoder, folder)
    return load_search(folder, "search@1", "cpu")


def _first(model: HybridSearch, query: str, k: int = 1) -> list[str]:
    return [item.item_id for item in model.predict([SearchQuery(query, k)])[0]]


@pytest.mark.parametrize(
    "code",
    [
        "16-07",
        "16.07",
        "NOR.0707-60",
        "nor.0707-60",
        "AB_12",
        " ab_12 ",
        "\uff11\uff16\uff0d\uff10\uff17",
        "16\u201007",
    ],
)
def test_a_code_with_signs_finds_its_product(model: HybridSearch, code: str) -> None:
    assert _first(model, code) == [plain(code).upper()]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("shower rail NOR.0707-60", "NOR.0707-60"),
        ("NOR070760", "NOR.0707-60"),
        ("WH1000XM4", "wh4"),
        ("wh-1000xm4 headphones", "wh4"),
        ("fox figurine", "x1"),
        ("Fox Figurines!", "x1"),
        ("to be or not to be", "b3"),
        ("1984", "b8"),
        ("creme brulee", "f1"),
        ("CRÈME BRÛLÉE", "f1"),
        ("围巾", "zh0"),
        ("茶杯", "zh4"),
        ("茶", "zh4"),
        ("毛巾", "zh12"),
        ("剪刀", "zh13"),
        ("コーヒー", "ja1"),
        ("ｺｰﾋｰｶｯﾌﾟ", "ja1"),
        ("まな板", "ja2"),
        ("목도리", "ko1"),
        ("ขนสัตว์", "th1"),
        ("दुपट्टा", "hi1"),
        ("手机壳", "mix"),
        ("iphone", "mix"),
    ],
)
def test_what_was_typed_comes_first(model: HybridSearch, query: str, wanted: str) -> None:
    assert _first(model, query) == [wanted]


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_every_unicode_form_of_a_query_has_the_same_answer(model: HybridSearch, form: str) -> None:
    for title in ("café table", "crème brûlée", "まな板", "コーヒー", "목도리"):
        typed = SearchQuery(unicodedata.normalize(form, title), 5)  # type: ignore[arg-type]
        assert model.predict([typed]) == model.predict([SearchQuery(title, 5)])


def test_products_of_one_title_are_all_first_and_a_code_is_before_a_title(model: HybridSearch) -> None:
    assert set(_first(model, "garden chair", 2)) == {"twin1", "twin2"}
    assert _first(model, "16-07", 2) == ["16-07", "16.07"], "the code as typed, then the one with another sign"


def test_an_exact_title_is_answered_the_same_alone_and_in_a_batch_of_any_size(model: HybridSearch) -> None:
    alone = model.predict([SearchQuery("fox figurine", 3)])[0]
    batch = model.predict([SearchQuery("hose", 20), SearchQuery("fox figurine", 3), SearchQuery("fox", 0)])
    assert batch[1] == alone
    assert batch[2] == []
    assert [item.score for item in alone] == sorted((item.score for item in alone), reverse=True)
    assert len({item.item_id for item in model.predict([SearchQuery("fox", 99)])[0]}) == len(_PRODUCTS)


def test_titles_are_shown_as_the_shop_wrote_them(model: HybridSearch) -> None:
    for query in ("creme brulee", "iphone", "fox"):
        [item] = model.predict([SearchQuery(query, 1)])[0]
        assert item.title == _PRODUCTS[item.item_id]


def test_a_model_from_before_has_no_exact_matches_and_still_loads(tmp_path: Path) -> None:
    assert load_exact(tmp_path).find("fox") == []


def query_words(text: str) -> list[str]:
    """A query's words and codes in the form of the index."""
    return _PLURALS.stem(cutting.query_words(folded(text), _PLURALS)) + codes(folded(text), for_index=False)


@given(st.text(max_size=60))
def test_one_form_is_a_form_and_meets_its_own_query(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    assert key(folded(text)) == key(text)
    assert set(query_words(text)) <= set(words(text)) | set(query_words(folded(text)))
    for form in ("NFC", "NFD"):
        assert words(unicodedata.normalize(form, text)) == words(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("<p>A <strong>strong</strong> magnet</p>", "A strong magnet"),
        ("<b>B</b>old mug<br/>blue", "Bold mug blue"),
        ('<span style="color:red" title="a > b">Sale</span>', "Sale"),
        ("Tea &amp; coffee &#8211; 2&nbsp;kg &#x41;", "Tea & coffee \u2013 2 kg A"),
        ("&lt;p&gt;Twice &amp;amp; escaped&lt;/p&gt;", "Twice & escaped"),
        ("<script>var red = 1;</script><style>p {color: red}</style>plain<!-- red -->", "plain"),
        ("<ul>\n<li>one</li><li>two</li></ul>", "one two"),
        ("<TD>a</TD><td class=x>b</td>", "a b"),
        ("we <3 mugs, size < M > S, AT&T, Q&A; 5 > 3", "we <3 mugs, size < M > S, AT&T, Q&A; 5 > 3"),
        ("R&D&copy", "R&D&copy"),
        ("List<String> in a nutshell", "List<String> in a nutshell"),
        ("", ""),
    ],
)
def test_html_is_read_as_a_browser_shows_it(written: str, shown: str) -> None:
    assert strip_html(written) == shown


@given(st.text(alphabet="<>&;/ab\"'= !-", max_size=200))
def test_any_text_is_unmarked(text: str) -> None:
    assert len(strip_html(text)) <= len(text)


def test_long_broken_html_takes_no_longer_than_it_is_long() -> None:
    for piece in ("<a ", '<a "', "<!--", "<script>", "<p title='", "&amp", "<"):
        assert strip_html(piece * 20_000).startswith(piece.strip()[:2])


def test_a_catalogue_is_read_without_html(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(
        '{"item_id": "a", "title": "Tea &amp; <b>coffee</b>", "description": "<p style=\\"color:red\\">Tin</p>"}\n'
        '{"item_id": "b", "title": "\ufb01sh \uff4bnife"}\n{"item_id": "c", "title": "' + "cafe\u0301" + '"}\n'
    )
    catalogue, _ = read_catalogue(tmp_path / "c.jsonl")
    assert catalogue.titles == ["Tea & coffee", "\ufb01sh \uff4bnife", "cafe\u0301"]
    assert catalogue.texts == ["Tea & coffee. Tin", "fish knife", "caf\u00e9"]


def _word_by_word(text: str, *, single: bool) -> list[str]:
    """The reference for `words` and `asked`: one slow rule for every script."""
    text, parts = folded(text), list[str]()
    for match in cutting._WORD.finditer(text):
        word = match[0]
        if match["unspaced"]:
            pairs = [word[start : start + 2] for start in range(len(word) - 1)]
            parts += pairs + (list(word) if single or len(word) == 1 else [])
        elif word not in _PLURALS.stopwords:
            parts.append(singular(word))
    for code in cutting._CODE.findall(text):
        if cutting._DIGIT.search(code) and ("-" in code or "_" in code or not single):
            parts += [code, cutting._SIGNS.sub("", code)] if cutting._LETTER.search(code) else [code]
    return parts


_TYPED = st.lists(
    st.one_of(
        st.sampled_from(["bags", "glass", "the", "dishes", "16-07", "nor.0707_60", "s", "1970s", "x/2", "café"]),
        st.text(st.characters(max_codepoint=0x24F), max_size=8),
        st.text(max_size=6),
    ),
    max_size=8,
).map(" ".join)


@given(_TYPED)
def test_the_quick_way_through_a_text_gives_the_same_words(text: str) -> None:
    assert words(text) == _word_by_word(text, single=True)
    assert query_words(text) == _word_by_word(text, single=False)
    every = [singular(match[0]) for match in cutting._WORD.finditer(folded(text))]
    assert key(text) == (" ".join(every) or folded(text))
