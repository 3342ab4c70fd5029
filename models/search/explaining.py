"""Says why products are in a search's answer: the words they share with it, and the parts of their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from models.search.changes import Changes
from models.search.ranking import Ranking
from models.search.reading import ReadQuery
from schemas.records import Why


class Explanation:
    """The reasons of one query's answer; `indices` are those of its products, as the ranking numbers them."""

    def __init__(
        self, text: str, reading: ReadQuery, indices: Sequence[int], ranking: Ranking, changes: Changes | None
    ) -> None:
        self._reading, self._ranking, self._changes = reading, ranking, changes
        lexical = ranking.lexical
        self._words = (changes or lexical).words(text)
        self._trained = len(ranking.vectors)
        trained = reading if changes is None else changes.as_trained(reading)
        self._shares = lexical.scores([trained])[0]
        place = np.array([index for index in indices if index < self._trained], np.int32)
        self._having = {
            term: set(place[np.isin(place, lexical.documents_of(term))].tolist())
            for _, term in self._words
            if term < len(lexical.ids)
        }

    def why(self, index: int, title: str, score: float, exact: Literal["code", "title"] | None) -> Why:
        """Why a product is there; `exact`: what was typed, if that is its code or its title."""
        words = list(dict.fromkeys(self._shown(word, title) for word, term in self._words if self._has(index, term)))
        if exact is not None:
            return Why(words, exact=exact)
        by_words = self._ranking.weight * self._share(index)
        return Why(words, by_words, score - by_words)

    def _shown(self, word: str, title: str) -> str:
        """The word as the title has it; as it was read where only the description or a compound has it."""
        return self._ranking.lexical.as_written(title, word) or word

    def _has(self, index: int, term: int) -> bool:
        if self._changes is not None and index >= self._trained:
            return self._changes.has(index, term)
        return index in self._having.get(term, ())

    def _share(self, index: int) -> float:
        if self._changes is not None and index >= self._trained:
            return self._changes.by_words(self._reading, index)
        return float(self._shares[index])
