"""BM25 over a catalogue's words, by bm25s; finds what was typed as it was typed, product codes too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import bm25s
import numpy as np
from bm25s.stopwords import STOPWORDS_EN
from numpy.typing import NDArray

FILES = (
    "data.csc.index.npy",
    "indices.csc.index.npy",
    "indptr.csc.index.npy",
    "vocab.index.json",
    "params.index.json",
)
_WORD = re.compile(r"\w+")
_STOPWORDS = frozenset(STOPWORDS_EN)
_MAX_QUERY_WORDS = 256


def words(text: str) -> list[str]:
    """Lower-case words without stop words, plurals cut: `LUNCH BAGS` gives `lunch`, `bag`."""
    found = (word for word in _WORD.findall(text.lower()) if word not in _STOPWORDS)
    return [_singular(word) for word in found]


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
            known = self._index.get_tokens_ids(words(query)[:_MAX_QUERY_WORDS])
            if known:
                table[row] = self._index.get_scores_from_ids(known)
        return table

    def matches(self, query: str) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Scores [documents] of one query, and the documents that share a word with it; some twice, in no order."""
        known = self._index.get_tokens_ids(words(query)[:_MAX_QUERY_WORDS])
        if not known:
            return np.zeros(self._documents, np.float32), np.empty(0, np.int32)
        starts, places = self._index.scores["indptr"], self._index.scores["indices"]
        return self._index.get_scores_from_ids(known), np.concatenate(
            [places[starts[w] : starts[w + 1]] for w in known]
        )


def build_lexical(texts: Sequence[str], folder: Path) -> None:
    """Indexes `texts` and writes bm25s's own files, `FILES`, into `folder`: numpy arrays and JSON, no pickle."""
    vocabulary: dict[str, int] = {}
    documents = [[vocabulary.setdefault(w, len(vocabulary)) for w in words(text)] for text in texts]
    if not vocabulary:
        vocabulary[""] = 0  # bm25s cannot index nothing; titles without one word are found by their vectors
        documents[0] = [0]
    index = bm25s.BM25(method="lucene")
    index.index(bm25s.tokenization.Tokenized(documents, vocabulary), show_progress=False, create_empty_token=False)
    index.save(folder, show_progress=False, allow_pickle=False)


def load_lexical(folder: Path, documents: int) -> Lexical:
    """The index that `build_lexical` wrote."""
    return Lexical(bm25s.BM25.load(folder, load_corpus=False, allow_pickle=False), documents)
