"""Reads a product's attributes from its fields, in one way for files, for the topic `catalogue` and for filters."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec

from models.data.hash64 import hash64
from models.data.text import strip_html

Value: TypeAlias = float | str | tuple[str, ...]
Attributes: TypeAlias = tuple[tuple[str, Value], ...]
"""A product's attributes, sorted by name: numbers, texts, or several texts."""

_NO_ATTRIBUTES = frozenset({"item_id", "title", "description", "image"})
_NESTED = "attributes"  # an object of further ones, as a record in Avro has them
_LONGEST = 200  # characters: a longer text describes, and nobody chooses it from a list
_MOST = 100  # attributes of a product
# Not 007, 1_000 or 2,50: a code with a leading zero is no number.
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_EXACT = 2**53  # from here on a float cannot hold every integer


def attributes_of(fields: Mapping[str, object]) -> Attributes:
    """What of a product's fields can be filtered by: all but its id, title, description and image.

    A field that is empty, longer than 200 characters, or holds other objects is left out.
    """
    nested = fields.get(_NESTED)
    further = {**fields, **nested} if isinstance(nested, Mapping) else fields
    found = [
        (name, value)
        for name, field in further.items()
        if name not in _NO_ATTRIBUTES and name != _NESTED and name and (value := _value(field)) is not None
    ]
    return tuple(sorted(found, key=lambda pair: pair[0])[:_MOST])


def text_of(value: object) -> str:
    """The text under which a value is compared: without HTML, in one Unicode form; numbers as short as they can be."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    text = str(value)
    return strip_html(text) if text.isascii() else unicodedata.normalize("NFC", strip_html(text))


def number_of(value: object) -> float | None:
    """The value as a number, also of a text that is one; None if it is none."""
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value) else None
    return value if isinstance(value, float) and math.isfinite(value) else None


def texts_of(value: Value) -> tuple[str, ...]:
    """The value as one text or several."""
    return value if isinstance(value, tuple) else (text_of(value),)


def digest_of(attributes: Attributes) -> int:
    """64 bits by which it is seen whether a product's attributes are the same, also where 5 was written as "5.0"."""
    return hash64(
        msgspec.json.encode([(name, [*map(_shortest, texts_of(each))]) for name, each in attributes]).decode()
    )


def _shortest(text: str) -> str:
    number = number_of(text)
    return text if number is None else text_of(number)


def _value(field: object) -> Value | None:
    if isinstance(field, list | tuple):
        return tuple(dict.fromkeys(filter(None, map(_text, _scalars(field))))) or None
    if isinstance(field, int | float) and not isinstance(field, bool) and abs(field) < _EXACT:
        return float(field)
    return _text(field) if isinstance(field, str | int | float) else None


def _scalars(values: Iterable[object]) -> list[object]:
    return [
        float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _EXACT else value
        for value in values
        if isinstance(value, str | int | float)
    ]


def _text(value: object) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    text = text_of(value)
    return text if 0 < len(text) <= _LONGEST else None
