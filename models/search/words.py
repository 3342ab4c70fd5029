"""Cuts texts into words, in the same way for the index and for queries.

Scripts that put no spaces between words are indexed by characters and by pairs of adjacent characters; queries in them
are cut into pairs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.data.text import folded
from models.search.languages import Language, singular, singulars

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


def document_words(text: str, known: Language) -> list[str]:
    """A document's words as they are written, folded, without stop words and codes."""
    return _written(folded(text), known.stopwords, for_index=True)


def query_words(text: str, known: Language) -> list[str]:
    """A folded query's words as they are written, without the words that only ask; all words if nothing is left."""
    return _written(text, known.asking, for_index=False) or _written(text, known.stopwords, for_index=False)


def key(text: str) -> str:
    """The key that spellings of one code or title share: all its words in order, singular; without words, its text."""
    text = folded(text)
    words = _ASCII_WORD.findall(text) if text.isascii() else [match[0] for match in _WORD.finditer(text)]
    return " ".join(singulars(words)) or text


def joined_code(text: str) -> str:
    """A code without its signs and blanks, `84029 G` as `84029g`; "" for a text without a digit."""
    text = folded(text)
    return _SIGNS.sub("", text) if _DIGIT.search(text) else ""


def code_words(item_id: str) -> list[str]:
    """The words under which a product's code is indexed: as it is, and without punctuation."""
    code = folded(item_id)
    joined = singular(_SIGNS.sub("", code))
    return list(dict.fromkeys([joined, *_CODE.findall(code)])) if joined else []


def title_words(title: str) -> list[str]:
    """A title's words as they are written."""
    return [match[0] for match in _WORD.finditer(title)]


def codes(text: str, *, for_index: bool) -> list[str]:
    """The codes with signs in a folded text, each also without its signs."""
    if not _DIGIT.search(text):
        return []
    found: list[str] = []
    for code in _CODE.findall(text):
        # A dot in a title is mostly a decimal point.
        if _DIGIT.search(code) and ("-" in code or "_" in code or not for_index):
            found.append(code)
            if _LETTER.search(code):
                found.append(_SIGNS.sub("", code))
    return found


def replaced(text: str, words: dict[str, str]) -> str:
    """The folded text with each of these words replaced."""
    return _WORD.sub(lambda match: words.get(match[0], match[0]), text)


def _written(text: str, left_out: frozenset[str], *, for_index: bool) -> list[str]:
    if text.isascii():
        return [word for word in _ASCII_WORD.findall(text) if word not in left_out]
    words: list[str] = []
    for match in _WORD.finditer(text):
        word = match[0]
        if match["unspaced"]:
            words += _pairs(word)
            words += word if for_index or len(word) == 1 else ""
        elif word not in left_out:
            words.append(word)
    return words


def _pairs(word: str) -> Sequence[str]:
    return [word[start : start + 2] for start in range(len(word) - 1)]
