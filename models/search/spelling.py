"""What a word means that the index does not have: two words written together, or a word that is misspelt.

The dictionary is the catalogue's own words and how many products have each. A word that the encoder knows as a whole
is a word of the language: it is never taken for a misspelt one, though no product has it (`timepiece` is no mistake).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from rapidfuzz import process
from rapidfuzz.distance import OSA

from models.search.languages import Language

_SHORTEST_PART, _SHORTEST_HEAD, _LONGEST = 3, 4, 40
_ONE_MISTAKE, _TWO_MISTAKES = 5, 8  # letters of the shortest words in which one and two mistakes are looked for
_RARE, _TIMES_RARER, _LONG = 2, 10, 6


class Spelling:
    """A catalogue's words, by the number of products that have each; `is_word` says which words the encoder knows.

    `mistakes` are those that the catalogue misspells, indexed with the word meant, `compounds` those with their parts.
    """

    def __init__(
        self,
        counts: dict[str, int],
        known: Language,
        is_word: Callable[[str], bool],
        mistakes: Mapping[str, str] | None = None,
        compounds: Collection[str] = (),
    ) -> None:
        self.counts, self._language, self._is_word = counts, known, is_word
        self.mistakes, self.compounds = mistakes or {}, frozenset(compounds)
        written = list(counts)
        self._stem_counts: Counter[str] = Counter()
        for stem, word in zip(known.stem(written), written, strict=True):
            self._stem_counts[stem] += counts[word]
        self._by_first: dict[str, list[str]] = {}
        for word in written:
            if word.isalpha() and len(word) >= _ONE_MISTAKE:
                self._by_first.setdefault(word[0], []).append(word)

    def corrected(self, word: str) -> tuple[str, ...]:
        """The word of the catalogue that an unknown `word` is a misspelling of; none if there is none like it."""
        if not word.isalpha() or len(word) > _LONGEST or self._is_word(word):
            return ()
        return self._closest(word, self._by_first, 2 if len(word) >= _TWO_MISTAKES else 1)

    def parts(self, word: str) -> tuple[str, ...]:
        """The words of which `word` is a compound, as rare as the rarest of them at most; none if it is none."""
        best: tuple[str, ...] = ()
        most = 0
        if not word.isalpha() or len(word) > _LONGEST:
            return best
        for end in range(_SHORTEST_PART, len(word) - _SHORTEST_PART + 1):
            right = self._count(word[end:])
            left = self._left_part(word[:end]) if right else ""
            if left and (rarest := min(right, self._count(left))) > most:
                best, most = (left, word[end:]), rarest
        return best

    def find_compounds(self) -> dict[str, tuple[str, ...]]:
        """The catalogue's own words that are compounds of others of its words, with their parts.

        In a language that writes few compounds in one word these are rare words that the encoder does not know
        (`blackblue`, `squarecushion`): parts of others say little (`retrospot` is not retro). In one that writes many,
        a word that ends as another has that for its one part: a `Handtasche` is a `Tasche`.
        """
        return {word: parts for word in self.counts if (parts := self.compound_parts(word))}

    def compound_parts(self, word: str) -> tuple[str, ...]:
        """The same for one word of a product, which the catalogue at training need not have; none if it is none."""
        many = bool(self._language.links)
        parts = self.parts(word) if many or not self._is_word(word) else ()
        if parts and (many or self.counts.get(word, 1) <= min(map(self._count, parts))):
            return parts
        return (head,) if many and (head := self._head(word)) else ()

    def find_mistakes(self) -> dict[str, str]:
        """The words that the catalogue misspells, with the word meant, which is ten times as frequent."""
        often = {
            first: [word for word in words if self.counts[word] >= _TIMES_RARER]
            for first, words in self._by_first.items()
        }
        found = {}
        for word, count in self.counts.items():
            if count <= _RARE and len(word) >= _LONG and word.isalpha() and not self._is_word(word):
                for meant in self._closest(word, often, 1):
                    if self.counts[meant] >= _TIMES_RARER * count and self._stem(meant) != self._stem(word):
                        found[word] = meant
        return found

    def _closest(self, word: str, by_first: Mapping[str, Sequence[str]], mistakes: int) -> tuple[str, ...]:
        """The most frequent of the words with the fewest mistakes. Hardly anybody mistypes the first letter."""
        if len(word) < _ONE_MISTAKE:
            return ()
        firsts = {word[1]: word[1::-1], word[0]: word[0]}  # with the first two letters swapped, and as typed
        candidates = [
            (int(distance), -self.counts[candidate], candidate)
            for first, begin in firsts.items()
            for candidate, distance, _ in process.extract(
                word, by_first.get(first, ()), scorer=OSA.distance, score_cutoff=mistakes, limit=None
            )
            if candidate.startswith(begin)
        ]
        return (min(candidates)[2],) if candidates else ()

    def _head(self, word: str) -> str:
        """The longest other word with which `word` ends; "" if there is none."""
        ends = (word[begin:] for begin in range(_SHORTEST_PART, len(word) - _SHORTEST_HEAD + 1) if word.isalpha())
        return next((end for end in ends if self._count(end)), "")

    def _left_part(self, part: str) -> str:
        """The word that the left part of a compound is, without the letters that link it; "" if it is none."""
        for link in self._language.links or ("",):
            bare = part[: len(part) - len(link)]
            if part.endswith(link) and len(bare) >= _SHORTEST_PART and self._count(bare):
                return bare
        return ""

    def _count(self, word: str) -> int:
        return self._stem_counts.get(self._stem(word), 0)

    def _stem(self, word: str) -> str:
        return self._language.stem([word])[0]


def word_counts(documents: Collection[Sequence[str]]) -> Counter[str]:
    """How many documents have each word."""
    return Counter(word for document in documents for word in set(document))
