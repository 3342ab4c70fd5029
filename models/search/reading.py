"""Reads a query in the words of an index, before it is scored: stems, misspelt words, compounds, codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from models.data.text import folded
from models.search.languages import Language, wish
from models.search.spelling import Spelling
from models.search.words import codes, query_words, replaced

_MAX_QUERY_WORDS = 256  # bounds the time that one query takes
_CACHED = 10_000  # unknown words


@dataclass(frozen=True, slots=True)
class ReadQuery:
    """A query's terms and their weights, the score of a product that has them all, and the query's text.

    The text is what was typed, misspelt words corrected and unknown compounds parted: for the encoder.
    """

    text: str
    terms: Sequence[tuple[int, float]]
    whole: float


class QueryReader:
    """Reads queries for an index with the terms `ids`; `rarity` gives the idf of one, `unknown` is that of any other.

    `meet` says whether a product has both of two terms.
    """

    def __init__(
        self,
        ids: Mapping[str, int],
        rarity: Callable[[int], float],
        unknown: float,
        known: Language,
        spelling: Spelling,
        meet: Callable[[int, int], bool],
    ) -> None:
        self._ids, self._rarity, self._unknown = ids, rarity, unknown
        self._language, self._spelling, self._meet = known, spelling, meet
        self._meant = lru_cache(_CACHED)(self._find_meant)

    def read(self, text: str) -> ReadQuery:
        """The query's reading; it has the text itself if nothing is corrected or left out."""
        form = folded(text)
        if wished := wish(form):
            text = form = wished
        written = query_words(form, self._language)[:_MAX_QUERY_WORDS]
        stems = self._language.stem(written)
        corrected: dict[str, str] = {}
        found: list[int | None] = []
        for word, stem in zip(written, stems, strict=True):
            term = self._ids.get(stem)
            if (term is None or word in self._spelling.mistakes) and (meant := self._meant(word)):
                corrected[word] = " ".join(meant)
                found += map(self._ids.get, self._language.stem(list(meant)))
            else:
                found.append(term)
        found += map(self._ids.get, codes(form, for_index=False))
        whole = sum(self._unknown if term is None else self._rarity(term) for term in found)
        terms = [(term, 1.0) for term in found if term is not None] + self._joined(written, stems)
        return ReadQuery(replaced(form, corrected) if corrected else text, terms, whole)

    def words(self, text: str) -> list[tuple[str, int]]:
        """The words with which the query is read, corrected ones as they were meant, each with its term."""
        form = folded(text)
        form = wish(form) or form
        written = query_words(form, self._language)[:_MAX_QUERY_WORDS]
        found: list[str] = []
        for word, stem in zip(written, self._language.stem(written), strict=True):
            is_plain = stem in self._ids and word not in self._spelling.mistakes
            found += (word,) if is_plain else self._meant(word)
        found += (first + second for first, second in pairwise(written))
        terms = zip(self._language.stem(found), found, strict=True)
        pairs = [*((word, stem) for stem, word in terms), *((code, code) for code in codes(form, for_index=False))]
        return [(word, self._ids[stem]) for word, stem in dict.fromkeys(pairs) if stem in self._ids]

    def _find_meant(self, word: str) -> tuple[str, ...]:
        """The words of the catalogue that an unknown or misspelt word stands for; none if it is like no word."""
        if word in self._spelling.mistakes:
            return (self._spelling.mistakes[word],)
        parts = self._spelling.parts(word)
        if parts and self._meet(*(self._ids[stem] for stem in self._language.stem(list(parts)))):
            return parts
        return self._spelling.corrected(word)

    def _joined(self, written: Sequence[str], stems: Sequence[str]) -> list[tuple[int, float]]:
        """Adjacent words that the catalogue writes together, `note book` as NOTEBOOK; each counts as both words do.

        Without those that are indexed with their parts.
        """
        together = [first + second for first, second in pairwise(written)]
        joined = []
        for place, stem in enumerate(self._language.stem(together)):
            term = self._ids.get(stem)
            if term is not None and together[place].isalpha() and together[place] not in self._spelling.compounds:
                apart = sum(self._rarity(self._ids[part]) for part in stems[place : place + 2] if part in self._ids)
                joined.append((term, max(1.0, apart / self._rarity(term))))
        return joined
