"""A shop's language: its stop words, its Snowball stemmer, and whether it writes compounds in one word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import Stemmer

from models.data.text import folded
from standfast.core.errors import ModelError

Stem = Callable[[list[str]], list[str]]
# What a search for a gift begins with. Without it "gift for a gardener" finds gift wrap before a watering can.
_GIFT_FOR = re.compile(
    r"^(?:(?:birthday|christmas|ein|einen|un|una|een) |an? )*(?:"
    r"(?:gifts?|presents?)(?: ideas?)? for (?:(?:an?|my|the|someone|somebody|people|who|loves?|likes?) )*"
    r"|geschenk(?:e|idee|ideen)? fur (?:(?:eine?n?|meine?n?|die|den|das) )*"
    r"|(?:idee )?cadeaux? pour (?:(?:une?|mon|ma|les?|la) )*"
    r"|regalos? para (?:(?:una?|mi|el|la|los) )*|(?:idea )?regalo per (?:(?:una?|un|mio|mia|il|la) )*"
    r"|(?:kado|cadeau)(?:tje)? voor (?:(?:een|mijn|de|het) )*)"
)
_LEAST_SHARE = 0.005  # of all words: below, a catalogue has too few stop words to tell its language
_ASKING = "anything anyone buy find get give im looking need please search show someone something want would"


@dataclass(frozen=True, slots=True)
class Language:
    """What the words of one language need. `stopwords` are left out of the index, `asking` also out of queries.

    `links` are the letters that German and its neighbours put between the parts of a compound; a language without any
    writes few new compounds in one word.
    """

    code: str
    stem: Stem
    stopwords: frozenset[str] = frozenset()
    asking: frozenset[str] = frozenset()
    links: tuple[str, ...] = ()


def singular(word: str) -> str:
    """Harman's s-stemmer (1991): gives plural and singular of an English word the same form."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word[:-1]


def singulars(words: list[str]) -> list[str]:
    """`singular` of each word."""
    # The "s" is tested here, because a call of `singular` for each word takes longer than all the rest.
    return [word if word[-1] != "s" else singular(word) for word in words]


# The code as in ISO 639-1, the name of the Snowball algorithm, bm25s's list of stop words, the links in compounds.
_KNOWN: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "en": ("english", "EN", ()),
    "da": ("danish", "DANISH", ("", "s", "e")),
    "de": ("german", "GERMAN", ("", "s", "es", "n", "en", "er", "e")),
    "es": ("spanish", "SPANISH", ()),
    "fr": ("french", "FRENCH", ()),
    "it": ("italian", "ITALIAN", ()),
    "nl": ("dutch", "DUTCH", ("", "s", "en", "e")),
    "no": ("norwegian", "NORWEGIAN", ("", "s", "e")),
    "pt": ("portuguese", "PORTUGUESE", ()),
    "ru": ("russian", "RUSSIAN", ()),
    "sv": ("swedish", "SWEDISH", ("", "s", "o")),
    "tr": ("turkish", "TURKISH", ()),
}
CODES = tuple(_KNOWN)


def language(code: str, stopwords: Iterable[str] = (), asking: Iterable[str] = ()) -> Language:
    """The language with this code; "" is that of models of before, which knew English plurals and nothing else.

    `stopwords` and `asking` are the words that a trained model was indexed with; without them they are looked up.
    Raises ModelError for a code that is not in `CODES`.
    """
    if not code:
        english = frozenset(_listed("EN"))
        return Language("", singulars, english, english)
    if code not in _KNOWN:
        raise ModelError(
            f"language {code!r} is unknown (known: {', '.join(CODES)}): the model is of another version of Standfast; "
            "train it anew with `standfast models train search`, or go back with `standfast models rollback search`"
        )
    algorithm, name, links = _KNOWN[code]
    left_out = frozenset(stopwords) or _folded(_listed(name))
    only_ask = frozenset(asking) or (_usual(code) | _folded(_ASKING.split()) if code == "en" else left_out)
    return Language(code, Stemmer.Stemmer(algorithm).stemWords, left_out, only_ask, links)


def wish(text: str) -> str:
    """A folded query without the words that say that it is for a gift; "" if it says nothing else, or no such thing."""
    found = _GIFT_FOR.match(text)
    return text[found.end() :].strip() if found else ""


def detected(texts: Iterable[str]) -> str:
    """The code of the language whose stop words are the most frequent in `texts`; "en" where they are too few."""
    counts = Counter(word for text in texts for word in folded(text).split())
    found = {code: sum(counts[word] for word in _usual(code)) for code in CODES}
    best = max(found, key=lambda code: found[code])
    return best if found[best] >= _LEAST_SHARE * counts.total() else "en"


def _usual(code: str) -> frozenset[str]:
    """All stop words of a language. The short list of English leaves words of titles, such as `my`, in the index."""
    return _folded(_listed("EN_PLUS" if code == "en" else _KNOWN[code][1]))


def _listed(name: str) -> Iterable[str]:
    from bm25s import stopwords  # here, for it imports scipy: 0.3 s at the start of every process that serves

    words: Iterable[str] = getattr(stopwords, f"STOPWORDS_{name}")
    return words


def _folded(words: Iterable[str]) -> frozenset[str]:
    return frozenset(folded(word) for word in words)
