"""What a JSON text says that the fast decoder refuses, so that whoever sent it is answered.

msgspec stops at what RFC 8259 allows and no record of ours needs: numbers beyond a double, half a surrogate pair,
nesting deeper than the interpreter's stack. It then says neither the field nor the request id, so the text is read once
more here, slowly.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import NoReturn

import msgspec
from msgspec import Struct

# Strings, whole, and brackets; a quote alone is a string that never ends. Possessive (`*+`), because a string is never
# to be tried in a second way: 1 MiB of quotes and backslashes would take hours.
_MARKS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}]', re.DOTALL)
_LONGEST_DIGITS = 4300  # Python refuses to read longer integers
_DEEP = 200  # far below the interpreter's limit of 1,000 frames, which the caller shares
_TOO_DEEP = "Infinity"  # no JSON, so no other value can be taken for it


class Misfit(Struct, frozen=True):
    """Why no record can be made of the text, naming the field; and the text's fields as far as they can be used."""

    reason: str
    fields: Mapping[str, object]


class _Wrong(Struct, frozen=True):
    """Stands for a value that cannot be kept."""

    reason: str


class _JsonPath(Struct, frozen=True):
    """Where a value stands; written out for one only, because of a text of 1 MiB all would take gigabytes."""

    name: str
    above: _JsonPath | None


def refused(data: bytes, error: Exception) -> Misfit:
    """What to answer to a text for which the fast decoder raised `error`; raises ValueError if it is not JSON."""
    text = data.decode()
    try:
        value = _parsed(text, _no_constant)
    except RecursionError:
        value = _parsed(_shallow(text), _too_deep)
    wrong = _first_wrong(value)
    reason = str(error) if wrong is None or isinstance(error, msgspec.ValidationError) else wrong
    fields = value if isinstance(value, dict) else {}
    return Misfit(reason, {key: one for key, one in fields.items() if not _is_wrong(one)})


def _parsed(text: str, constant: Callable[[str], object]) -> object:
    return json.loads(text, parse_float=_float, parse_int=_int, parse_constant=constant)


def _float(digits: str) -> object:
    number = float(digits)
    return number if math.isfinite(number) else _Wrong("Number out of range")


def _int(digits: str) -> object:
    return int(digits) if len(digits) < _LONGEST_DIGITS else _Wrong("Number out of range")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _too_deep(name: str) -> _Wrong:
    return _Wrong("Nested too deeply") if name == _TOO_DEEP else _no_constant(name)


def _first_wrong(value: object) -> str | None:
    """The reason and place of a value that cannot be kept, in the words msgspec has for others; None: there is none."""
    waiting: list[tuple[object, _JsonPath | None]] = [(value, None)]
    while waiting:
        value, place = waiting.pop()
        if _is_wrong(value):
            return f"{_reason(value)}{_shown(place)}"
        if isinstance(value, list):
            waiting += [(part, _JsonPath("[...]", place)) for part in value]
        elif isinstance(value, dict):
            if not all(map(_is_text, value)):
                return f"Lone surrogate in a key{_shown(place)}"
            waiting += [(part, _JsonPath(f".{name}", place)) for name, part in value.items()]
    return None


def _shown(place: _JsonPath | None) -> str:
    names: list[str] = []
    while place is not None:
        names.append(place.name)
        place = place.above
    return f" - at `${''.join(reversed(names))}`" if names else ""


def _is_wrong(value: object) -> bool:
    return isinstance(value, _Wrong) or (isinstance(value, str) and not _is_text(value))


def _reason(value: object) -> str:
    return value.reason if isinstance(value, _Wrong) else "Lone surrogate in a string"


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shallow(text: str) -> str:
    """The text without what its top-level fields contain: `null` in its place, or `Infinity` where it was too deep.

    Whether what is left out is JSON too is not looked at, only whether its brackets match: its sender is answered
    either way. Raises ValueError if they do not.
    """
    kept: list[str] = []
    closing: list[str] = []
    end = deepest = depth = 0
    for mark in _MARKS.finditer(text):
        sign = mark[0]
        if sign == "[" or sign == "{":  # noqa: PLR1714 - this loop runs a million times for a record of 1 MiB
            if depth == 1:
                kept.append(text[end : mark.start()])
                deepest = 0
            closing.append("]" if sign == "[" else "}")
            depth += 1
        elif sign == "]" or sign == "}":  # noqa: PLR1714
            if not depth or closing.pop() != sign:
                raise ValueError(f"the {sign} at {mark.start()} closes nothing")
            deepest = max(deepest, depth)
            depth -= 1
            if depth == 1:
                kept.append("null" if deepest < _DEEP else _TOO_DEEP)
                end = mark.end()
        elif sign == '"':
            raise ValueError(f"the string at {mark.start()} never ends")
    if closing:
        raise ValueError(f"{depth} brackets are never closed")
    return "".join(kept) + text[end:]
