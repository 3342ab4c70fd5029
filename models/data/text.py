"""Normalizes texts, in the same way for the index and for queries, so that a query matches what is indexed.

`plain` is for the encoder: Unicode NFKC (full width becomes ASCII, a letter and its accent one character), without
invisible characters, with one kind of hyphen. `folded` is for comparing words: also without case, and without the
accents of Latin and Greek letters, which people omit when they type. Answers show a product's title as the shop wrote
it.
"""

from __future__ import annotations

import html
import re
import unicodedata

_BLOCK = (
    "address article aside blockquote body br button caption center dd details div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 head header hr html iframe img input li link main meta nav ol option p picture pre "
    "section select source summary table tbody td textarea tfoot th thead title tr ul video"
)
_INLINE = "a abbr b big bdi bdo cite code del dfn em font i ins kbd label mark q s samp small span strike strong sub "
_INLINE += "sup time tt u var wbr"
# Possessive and bounded quantifiers: text that only begins like a tag is matched in linear time.
_ATTRIBUTES = r"""(?:\s(?:[^<>"']++|"[^"]{0,2000}+"|'[^']{0,2000}+'){0,60}+)?+"""
_UNSEEN = re.compile(r"<!--|-->|<(?P<opened>script|style)\b[^<>]*+>|</(?P<closed>script|style)\s*+>", re.IGNORECASE)
_INLINE_TAG = re.compile(rf"</?(?:{'|'.join(_INLINE.split())}){_ATTRIBUTES}/?>", re.IGNORECASE)
_BLOCK_TAG = re.compile(rf"</?(?:{'|'.join(_BLOCK.split())}){_ATTRIBUTES}/?>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")

_SAME: dict[int, str | None] = dict.fromkeys(
    map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"), "-"
)
_SAME |= dict.fromkeys(map(ord, "™®©℠"), " ")
_SAME |= dict.fromkeys(map(ord, "\u2018\u2019\u02bc\u00b4`"), "'")
_SAME |= dict.fromkeys([0x00AD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), 0xFEFF])
_ACCENTS = re.compile("(?<=[a-z\u03b1-\u03c9])[\u0300-\u036f]+|[\u0591-\u05bd\u05bf-\u05c7\u0640\u064b-\u065f\u0670]")
_LETTERS = str.maketrans({"\u0131": "i", "ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe"})


def strip_html(text: str) -> str:
    """The text of HTML as a browser shows it: no tags, entities replaced; up to three times, for HTML escaped twice."""
    for _ in range(3):
        if "<" not in text and "&" not in text:
            break
        shown = _BLOCK_TAG.sub(" ", _INLINE_TAG.sub("", _without_hidden(text)))
        shown = _ENTITY.sub(lambda entity: html.unescape(entity[0]), shown)
        if shown == text:
            break
        text = shown
    return " ".join(text.split())


def _without_hidden(text: str) -> str:
    """The text without comments, scripts and styles; one that is never closed stays."""
    parts, position, opened_at, awaited_close = [], 0, 0, ""
    for mark in _UNSEEN.finditer(text):
        opened, closed = (mark["opened"] or "").lower(), (mark["closed"] or mark[0]).lower()
        if awaited_close and closed == awaited_close:
            parts.append(text[position:opened_at])
            position, awaited_close = mark.end(), ""
        elif not awaited_close and (opened or closed == "<!--"):
            opened_at, awaited_close = mark.start(), opened or "-->"
    return " ".join([*parts, text[position:]])


def plain(text: str) -> str:
    """The text in the form in which documents and queries are encoded; the module says how."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_SAME))
    return " ".join(text.split())


def folded(text: str) -> str:
    """`plain` without case and accents."""
    text = plain(text).casefold()
    if text.isascii():
        return text
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFC", bare).translate(_LETTERS)
