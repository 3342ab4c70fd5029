"""BM25 of the products that changed since training, in the words and with the statistics of the trained index.

The idf of a term and the average length are those of the trained index, as every segment of Lucene is scored with one
set of statistics; so a product that is written again unchanged keeps its score. Terms that the index lacks are
numbered on from its last one, and their idf comes from the changed products that have them.
"""

from __future__ import annotations

import math
from array import array
from collections import ChainMap, Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.search.lexical import PRESENCE, Lexical
from models.search.reading import ReadQuery


@dataclass(frozen=True, slots=True)
class _Postings:
    """The rows that have one term, and how much of the term's idf each row scores."""

    rows: array[int] = field(default_factory=lambda: array("i"))
    shares: array[float] = field(default_factory=lambda: array("f"))


class ChangedWords:
    """An inverted index to which rows are added, and from which they are removed, one by one."""

    def __init__(self, trained: Lexical) -> None:
        self._trained = trained
        self._trained_terms = len(trained.ids)
        self._new_ids: dict[str, int] = {}
        self._postings: dict[int, _Postings] = {}
        self._terms: list[array[int]] = []  # of each row, to remove it again
        reader = trained.reader(ChainMap(self._new_ids, trained.ids), self._rarity)
        self.read, self.words = reader.read, reader.words

    def add(self, row: int, text: str, item_id: str) -> None:
        """Indexes a product as this row, which is free or the next one."""
        k1, b = self._trained.constants
        terms = self._trained.terms(text, item_id)
        longer = k1 * (1 - b + b * len(terms) / self._trained.average)
        counts = Counter(map(self._number, terms))
        for term, count in counts.items():
            postings = self._postings.setdefault(term, _Postings())
            postings.rows.append(row)
            postings.shares.append((1 - PRESENCE) * count / (longer + count) + PRESENCE)
        if row == len(self._terms):
            self._terms.append(array("i"))
        self._terms[row] = array("i", counts)

    def remove(self, row: int) -> None:
        """Removes a row from the index."""
        for term in self._terms[row]:
            postings = self._postings[term]
            place = postings.rows.index(row)
            del postings.rows[place], postings.shares[place]
        self._terms[row] = array("i")

    def scores(self, queries: Sequence[ReadQuery], rows: int) -> NDArray[np.float32]:
        """[len(queries), rows] scores, as `Lexical.scores` gives them."""
        table = np.zeros((len(queries), rows), np.float32)
        for line, query in zip(table, queries, strict=True):
            for term, weight in query.terms:
                if (postings := self._postings.get(term)) and postings.rows:
                    shares = np.frombuffer(postings.shares, np.float32)
                    weighed = np.float32(weight * self._rarity(term) / query.whole)
                    line[np.frombuffer(postings.rows, np.int32)] += shares * weighed
        return table

    def coverage(self, query: ReadQuery, rows: int) -> NDArray[np.float32]:
        """[rows]: how much of the query each has, as `Lexical.coverage` gives it."""
        line = np.zeros(rows, np.float32)
        for term, weight in query.terms:
            if (postings := self._postings.get(term)) and postings.rows:
                line[np.frombuffer(postings.rows, np.int32)] += np.float32(weight * self._rarity(term))
        return line

    def has(self, row: int, term: int) -> bool:
        """Whether a row has a term."""
        return term in self._terms[row]

    def as_trained(self, query: ReadQuery) -> ReadQuery:
        """The query without the terms that the trained index lacks."""
        return ReadQuery(query.text, [pair for pair in query.terms if pair[0] < self._trained_terms], query.whole)

    def _number(self, term: str) -> int:
        trained = self._trained.ids.get(term)
        if trained is not None:
            return trained
        return self._new_ids.setdefault(term, self._trained_terms + len(self._new_ids))

    def _rarity(self, term: int) -> float:
        if term < self._trained_terms:
            return self._trained.rarity(term)
        frequency = len(self._postings[term].rows)
        documents = self._trained.documents + len(self._terms)
        return math.log1p((documents - frequency + 0.5) / (frequency + 0.5))
