"""BM25 over a catalogue's words, by bm25s; finds what was typed as it was typed, product codes too.

Scripts that put no spaces between words are indexed by characters and by pairs of neighbours, and asked for by pairs.
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
_INDIC = "\u0900-\u0963\u0966-\u0dff"  # their vowel signs are no letters to `re`, and yet part of the word
_WORD = re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|(?:[^\W_{_UNSPACED}]|[{_INDIC}])+")
_ASCII_WORD = re.compile("[a-z0-9]+")
_CODE = re.compile(r"[a-z0-9]+(?:[-._/][a-z0-9]+)+")
_DIGIT, _LETTER, _SIGNS = re.compile("[0-9]"), re.compile("[a-z]"), re.compile(r"[\W_]+")
_STOPWORDS = frozenset(STOPWORDS_EN)
_MAX_QUERY_WORDS = 256


def words(text: str) -> list[str]:
    """Lower-case words without stop words, plurals cut: `LUNCH BAGS` gives `lunch`, `bag`; for the index."""
    return _tokens(folded(text), single=True)


def asked(text: str) -> list[str]:
    """The same of a query."""
    return _tokens(folded(text), single=False)


def key(text: str) -> str:
    """What two spellings of one code or title have in common: the words, all of them, in their order, plurals cut."""
    text = folded(text)
    words = _ASCII_WORD.findall(text) if text.isascii() else [match[0] for match in _WORD.finditer(text)]
    return " ".join([word if word[-1] != "s" else _singular(word) for word in words]) or text


def code_words(item_id: str) -> list[str]:
    """The words by which a product's code is found: as it is, and without signs."""
    code = folded(item_id)
    joined = _singular(_SIGNS.sub("", code))
    return list(dict.fromkeys([joined, *_CODE.findall(code)])) if joined else []


def _tokens(text: str, *, single: bool) -> list[str]:
    if text.isascii():
        # Asked here, not by a call for each word: most end in another letter, and a call takes longer than the rest.
        found = _ASCII_WORD.findall(text)
        words = [word if word[-1] != "s" else _singular(word) for word in found if word not in _STOPWORDS]
    else:
        words = _words_of_any_script(text, single=single)
    return words + _codes(text, single=single) if _DIGIT.search(text) else words


def _words_of_any_script(text: str, *, single: bool) -> list[str]:
    words: list[str] = []
    for found in _WORD.finditer(text):
        word = found[0]
        if found["unspaced"]:
            words += [word[place : place + 2] for place in range(len(word) - 1)]
            words += word if single or len(word) == 1 else ""
        elif word not in _STOPWORDS:
            words.append(_singular(word))
    return words


def _codes(text: str, *, single: bool) -> list[str]:
    codes: list[str] = []
    for code in _CODE.findall(text):
        if _DIGIT.search(code) and ("-" in code or "_" in code or not single):  # dots are mostly those of numbers
            codes.append(code)
            if _LETTER.search(code):
                codes.append(_SIGNS.sub("", code))
    return codes


def _singular(word: str) -> str:
    """Harman's s-stemmer (1991), which is what a product search needs: plural and singular meet."""
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
        """[len(queries), documents]; 0 where no word is shared."""
        table = np.zeros((len(queries), self._documents), np.float32)
        for row, query in enumerate(queries):
            known = self._index.get_tokens_ids(asked(query)[:_MAX_QUERY_WORDS])
            if known:
                table[row] = self._index.get_scores_from_ids(known)
        return table

    def matches(self, query: str) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Scores [documents] of one query, and the documents that share a word with it; some twice, in no order."""
        known = self._index.get_tokens_ids(asked(query)[:_MAX_QUERY_WORDS])
        if not known:
            return np.zeros(self._documents, np.float32), np.empty(0, np.int32)
        starts, places = self._index.scores["indptr"], self._index.scores["indices"]
        return self._index.get_scores_from_ids(known), np.concatenate(
            [places[starts[w] : starts[w + 1]] for w in known]
        )


def build_lexical(texts: Sequence[str], folder: Path, item_ids: Sequence[str] | None = None) -> None:
    """Indexes `texts`, each with the code at its place in `item_ids`, and writes bm25s's own files, `FILES`, into
    `folder`: numpy arrays and JSON, no pickle."""
    vocabulary: dict[str, int] = {}
    codes = map(code_words, item_ids or [""] * len(texts))
    documents = [
        [vocabulary.setdefault(word, len(vocabulary)) for word in (*words(text), *code)]
        for text, code in zip(texts, codes, strict=True)
    ]
    if not vocabulary:
        vocabulary[""] = 0  # bm25s cannot index nothing; titles without one word are found by their vectors
        documents[0] = [0]
    index = bm25s.BM25(method="lucene")
    index.index(bm25s.tokenization.Tokenized(documents, vocabulary), show_progress=False, create_empty_token=False)
    index.save(folder, show_progress=False, allow_pickle=False)


def load_lexical(folder: Path, documents: int) -> Lexical:
    """The index that `build_lexical` wrote."""
    return Lexical(bm25s.BM25.load(folder, load_corpus=False, allow_pickle=False), documents)
