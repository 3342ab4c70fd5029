"""BM25 over a catalogue's words and product codes, by bm25s.

A score is a share of what a product would have with all words of the query, however often: 1 at most. So a product that
has one word of five does not score high, also when no other product has any of them. A fifth of a word's score is for
having it at all, in a text of any length, as in BM25+ (Lv and Zhai 2011): without it a short text with one word of two
comes before a longer one with both. In experiments nDCG@10 of the fused ranking was 0.444 with it and 0.442 without on
Cranfield, 0.740 and 0.735 on SciFact's training queries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.data.text import folded
from models.search.languages import Language, language
from models.search.reading import QueryReader, ReadQuery
from models.search.spelling import Spelling, word_counts
from models.search.words import code_words, codes, document_words, title_words

_WRITTEN = "written.json"
PRESENCE = 0.2  # the share of a word's score for having it at all
IsWord = Callable[[str], bool]


class WrittenWords(msgspec.Struct, frozen=True):
    """A catalogue's words as they are written, each with the number of products that have it; see `Spelling`.

    `average`: how many terms a product is indexed with, by which BM25 weighs long texts; 0 in models of before.
    `stopwords` and `asking` are its `Language`'s; models of before have none.
    """

    counts: dict[str, int] = {}
    mistakes: dict[str, str] = {}
    compounds: list[str] = []
    average: float = 0.0
    stopwords: list[str] = []
    asking: list[str] = []


class _Constants(msgspec.Struct, frozen=True):
    """Those of bm25s's params.index.json that are needed here."""

    k1: float
    b: float


@dataclass(frozen=True, slots=True)
class Postings:
    """What bm25s's `save` writes: the documents and scores of term t are `[ends[t]:ends[t + 1]]`."""

    ends: NDArray[np.int32]
    documents: NDArray[np.int32]
    scores: NDArray[np.float32]
    ids: dict[str, int]
    constants: tuple[float, float]  # BM25's k1 and b

    @classmethod
    def read(cls, folder: Path) -> Postings:
        """Reads the files without bm25s, whose import takes 0.3 s at the start of every process that serves."""
        ends, documents, scores = (
            np.load(folder / f"{name}.csc.index.npy", allow_pickle=False) for name in ("indptr", "indices", "data")
        )
        ids = msgspec.json.decode((folder / "vocab.index.json").read_bytes(), type=dict[str, int])
        constants = msgspec.json.decode((folder / "params.index.json").read_bytes(), type=_Constants)
        return cls(ends, documents, scores, ids, (constants.k1, constants.b))


class Lexical:
    """A BM25 index over documents numbered from 0."""

    def __init__(
        self, postings: Postings, documents: int, known: Language, spelling: Spelling, average: float = 0.0
    ) -> None:
        self.documents = documents
        self._ends, self._of_term, self._scores = postings.ends, postings.documents, postings.scores
        self.ids = postings.ids
        self.rarity: Callable[[int], float] = rarities(np.diff(postings.ends), documents).item
        self.constants = postings.constants
        # Texts repeat few words: without the average, the number of different terms is close to it.
        self.average = average or max(1.0, len(self._of_term) / documents)
        self._known, self._spelling = known, spelling
        self._reader = self.reader(self.ids, self.rarity)

    def read(self, query: str) -> ReadQuery:
        """The query in the words of this index."""
        return self._reader.read(query)

    def words(self, query: str) -> list[tuple[str, int]]:
        """The query's words that this index has, as they were read, each with its term."""
        return self._reader.words(query)

    def reader(self, ids: Mapping[str, int], rarity: Callable[[int], float]) -> QueryReader:
        """A reader of queries in more terms than this index has, by `ids`, of which `rarity` gives the idf."""
        unknown = float(rarities(np.zeros(1, np.int64), self.documents)[0])
        return QueryReader(ids, rarity, unknown, self._known, self._spelling, self._meet)

    def terms(self, text: str, item_id: str) -> list[str]:
        """The terms under which a product is indexed, as `build_lexical` chooses them."""
        written = document_words(text, self._known)
        return _terms(written, text, item_id, self._known, self._spelling.mistakes, self._spelling.compound_parts)

    def scores(self, queries: Sequence[ReadQuery]) -> NDArray[np.float32]:
        """[len(queries), documents] scores; 0 where query and document share no word."""
        table = np.zeros((len(queries), self.documents), np.float32)
        for row, query in zip(table, queries, strict=True):
            self._add(query, row)
        return table

    def coverage(self, query: ReadQuery) -> NDArray[np.float32]:
        """[documents]: how much of the query each has, its words weighed by how rare they are."""
        row = np.zeros(self.documents, np.float32)
        for term, weight in query.terms:
            row[self.documents_of(term)] += np.float32(weight * self.rarity(term))
        return row

    def as_written(self, title: str, word: str) -> str | None:
        """A query's word as a title has it: in another case, form or number; None if it is not there."""
        [stem] = self._known.stem([word])
        return next((found for found in title_words(title) if self._known.stem([folded(found)]) == [stem]), None)

    def matches(self, query: ReadQuery) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Scores [documents] of one query, and the documents that share a word with it, unsorted, some twice."""
        row = np.zeros(self.documents, np.float32)
        self._add(query, row)
        matches = [self.documents_of(term) for term, _ in query.terms]
        return row, np.concatenate(matches) if matches else np.empty(0, np.int32)

    def _meet(self, first: int, second: int) -> bool:
        """Whether a document has both terms."""
        return bool(np.isin(self.documents_of(first), self.documents_of(second)).any())

    def documents_of(self, term: int) -> NDArray[np.int32]:
        """The documents that have a term."""
        return self._of_term[self._ends[term] : self._ends[term + 1]]

    def _add(self, query: ReadQuery, row: NDArray[np.float32]) -> None:
        for term, weight in query.terms:
            one = slice(self._ends[term], self._ends[term + 1])
            row[self._of_term[one]] += self._scores[one] * np.float32(weight / query.whole)


def rarities(frequency: NDArray[np.int64], documents: int) -> NDArray[np.float32]:
    """BM25's idf, as bm25s's method `lucene` computes it."""
    return np.log1p((documents - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)


def build_lexical(
    texts: Sequence[str],
    folder: Path,
    item_ids: Sequence[str] | None = None,
    code: str = "en",
    is_word: IsWord = lambda _: False,
) -> None:
    """Indexes `texts`, each with its code in `item_ids`, and writes numpy arrays and JSON, no pickle, into `folder`.

    `code` is that of the language, `is_word` says which words the encoder knows.
    """
    import bm25s  # here, so that no process that only serves imports it

    known = language(code)
    written = [document_words(text, known) for text in texts]
    spelling = Spelling(word_counts(written), known, is_word)
    mistakes, compounds = spelling.find_mistakes(), spelling.find_compounds()
    vocabulary: dict[str, int] = {}
    documents = []
    for text, document, item_id in zip(texts, written, item_ids or [""] * len(texts), strict=True):
        terms = _terms(document, text, item_id, known, mistakes, lambda word: compounds.get(word, ()))
        documents.append([vocabulary.setdefault(term, len(vocabulary)) for term in terms])
    if not vocabulary:
        vocabulary[""] = 0  # bm25s cannot index an empty vocabulary; titles without words are found by vectors
        documents[0] = [0]
    index = bm25s.BM25(method="lucene")
    index.index(bm25s.tokenization.Tokenized(documents, vocabulary), show_progress=False, create_empty_token=False)
    frequency = np.diff(index.scores["indptr"])
    presence = np.repeat(rarities(frequency, len(texts)), frequency)
    index.scores["data"] = ((1 - PRESENCE) * index.scores["data"] + PRESENCE * presence).astype(np.float32)
    index.save(folder, show_progress=False, allow_pickle=False)
    average = sum(map(len, documents)) / len(documents)
    listed = (sorted(known.stopwords), sorted(known.asking))
    written_words = WrittenWords(spelling.counts, mistakes, list(compounds), average, *listed)
    (folder / _WRITTEN).write_bytes(msgspec.json.encode(written_words))


def _terms(
    document: Sequence[str],
    text: str,
    item_id: str,
    known: Language,
    mistakes: Mapping[str, str],
    parts_of: Callable[[str], Sequence[str]],
) -> list[str]:
    more = [part for word in document for part in parts_of(word)]
    more += [mistakes[word] for word in document if word in mistakes]
    return [*known.stem([*document, *more]), *codes(folded(text), for_index=True), *code_words(item_id)]


def load_lexical(folder: Path, documents: int, code: str = "en", is_word: IsWord = lambda _: False) -> Lexical:
    """The index that `build_lexical` wrote; that of a release without spelling corrects none."""
    file = folder / _WRITTEN
    stored = msgspec.json.decode(file.read_bytes(), type=WrittenWords) if file.is_file() else WrittenWords()
    known = language(code, stored.stopwords, stored.asking)
    spelling = Spelling(stored.counts, known, is_word, stored.mistakes, stored.compounds)
    return Lexical(Postings.read(folder), documents, known, spelling, stored.average)
