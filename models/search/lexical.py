"""BM25 over a catalogue's words and product codes, by bm25s.

Scripts that put no spaces between words are indexed by characters and by pairs of adjacent characters; queries in them
are cut into pairs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import bm25s
import numpy as np
from bm25s.stopwords import STOPWORDS_EN
from numpy.typing import NDArray

from models.data.text import folded

FILES = (
    "data.csc.index.npy",
    "indices.csc.index.npy",
    "indptr.csc.index.npy",
    "vocab.index.json",
    "params.index.json",
)
# Thai, Lao, Burmese, Khmer, Chinese, Japanese and Korean
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_INDIC = "\u0900-\u0963\u0966-\u0dff"  # Indic scripts: their vowel signs are part of a word, but not letters to `re`
_WORD = re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|(?:[^\W_{_UNSPACED}]|[{_INDIC}])+")
_ASCII_WORD = re.compile("[a-z0-9]+")
_CODE = re.compile(r"[a-z0-9]+(?:[-._/][a-z0-9]+)+")
_DIGIT, _LETTER, _SIGNS = re.compile("[0-9]"), re.compile("[a-z]"), re.compile(r"[\W_]+")
_STOPWORDS = frozenset(STOPWORDS_EN)
_MAX_QUERY_WORDS = 256  # bounds the time that one query takes


def words(text: str) -> list[str]:
    """A document's words for the index: lower case, singular, no stop words. `LUNCH BAGS` gives `lunch`, `bag`."""
    return _tokens(folded(text), for_index=True)


def query_words(text: str) -> list[str]:
    """A query's words, in the same form."""
    return _tokens(folded(text), for_index=False)


def key(text: str) -> str:
    """The key that spellings of one code or title share: all its words in order, singular; without words, its text."""
    text = folded(text)
    words = _ASCII_WORD.findall(text) if text.isascii() else [match[0] for match in _WORD.finditer(text)]
    return " ".join([word if word[-1] != "s" else _singular(word) for word in words]) or text


def code_words(item_id: str) -> list[str]:
    """The words under which a product's code is indexed: as it is, and without punctuation."""
    code = folded(item_id)
    joined = _singular(_SIGNS.sub("", code))
    return list(dict.fromkeys([joined, *_CODE.findall(code)])) if joined else []


def _tokens(text: str, *, for_index: bool) -> list[str]:
    if text.isascii():
        # The "s" is tested here, because a call of _singular for each word takes longer than all the rest.
        every_word = _ASCII_WORD.findall(text)
        words = [word if word[-1] != "s" else _singular(word) for word in every_word if word not in _STOPWORDS]
    else:
        words = _words_of_any_script(text, for_index=for_index)
    return words + _codes(text, for_index=for_index) if _DIGIT.search(text) else words


def _words_of_any_script(text: str, *, for_index: bool) -> list[str]:
    words: list[str] = []
    for match in _WORD.finditer(text):
        word = match[0]
        if match["unspaced"]:
            words += [word[start : start + 2] for start in range(len(word) - 1)]
            words += word if for_index or len(word) == 1 else ""
        elif word not in _STOPWORDS:
            words.append(_singular(word))
    return words


def _codes(text: str, *, for_index: bool) -> list[str]:
    codes: list[str] = []
    for code in _CODE.findall(text):
        # A dot in a title is mostly a decimal point.
        if _DIGIT.search(code) and ("-" in code or "_" in code or not for_index):
            codes.append(code)
            if _LETTER.search(code):
                codes.append(_SIGNS.sub("", code))
    return codes


def _singular(word: str) -> str:
    """Harman's s-stemmer (1991): gives plural and singular of a word the same form."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word[:-1]


class Lexical:
    """A BM25 index over documents numbered from 0."""

    def __init__(self, index: bm25s.BM25, documents: int) -> None:
        self._index, self._documents = index, documents

    def scores(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """[len(queries), documents] BM25 scores; 0 where query and document share no word."""
        table = np.zeros((len(queries), self._documents), np.float32)
        for row, query in enumerate(queries):
            word_ids = self._index.get_tokens_ids(query_words(query)[:_MAX_QUERY_WORDS])
            if word_ids:
                table[row] = self._index.get_scores_from_ids(word_ids)
        return table

    def matches(self, query: str) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """BM25 scores [documents] of one query, and the documents that share a word with it, unsorted, some twice."""
        word_ids = self._index.get_tokens_ids(query_words(query)[:_MAX_QUERY_WORDS])
        if not word_ids:
            return np.zeros(self._documents, np.float32), np.empty(0, np.int32)
        starts, documents = self._index.scores["indptr"], self._index.scores["indices"]
        return self._index.get_scores_from_ids(word_ids), np.concatenate(
            [documents[starts[word_id] : starts[word_id + 1]] for word_id in word_ids]
        )


def build_lexical(texts: Sequence[str], folder: Path, item_ids: Sequence[str] | None = None) -> None:
    """Indexes `texts`, each with its code in `item_ids`, and writes bm25s's `FILES` into `folder`.

    The files are numpy arrays and JSON, no pickle.
    """
    vocabulary: dict[str, int] = {}
    codes = map(code_words, item_ids or [""] * len(texts))
    documents = [
        [vocabulary.setdefault(word, len(vocabulary)) for word in (*words(text), *code)]
        for text, code in zip(texts, codes, strict=True)
    ]
    if not vocabulary:
        vocabulary[""] = 0  # bm25s cannot index an empty vocabulary; titles without words are found by vectors
        documents[0] = [0]
    index = bm25s.BM25(method="lucene")
    index.index(bm25s.tokenization.Tokenized(documents, vocabulary), show_progress=False, create_empty_token=False)
    index.save(folder, show_progress=False, allow_pickle=False)


def load_lexical(folder: Path, documents: int) -> Lexical:
    """The index that `build_lexical` wrote."""
    return Lexical(bm25s.BM25.load(folder, load_corpus=False, allow_pickle=False), documents)
