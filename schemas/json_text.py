"""Reads JSON text that msgspec refused, so that its sender gets an answer with the field and the reason.

RFC 8259 allows numbers beyond a double, lone surrogates, and nesting deeper than the interpreter's stack. msgspec
refuses them without the field or the request id, so the text is parsed once more here, slowly.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import NoReturn

import msgspec
from msgspec import Struct

# Whole strings, and brackets; a single quote is a string that never ends. Possessive quantifiers (`*+`) prevent
# backtracking, with which 1 MiB of quotes and backslashes would take hours.
_MARKS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}]', re.DOTALL)
_LONGEST_DIGITS = 4300  # Python's default limit for int() of a string
_MAX_DEPTH = 200  # far below the interpreter's limit of 1,000 frames, which the caller shares
_TOO_DEEP = "Infinity"  # not valid JSON, so the text cannot contain it as a value


class Misfit(Struct, frozen=True):
    """Why the text is not a record, naming the field; and those of its top-level fields that can be used."""

    reason: str
    fields: Mapping[str, object]


class _Wrong(Struct, frozen=True):
    """Replaces a value that no record can hold."""

    reason: str


class _JsonPath(Struct, frozen=True):
    """The path of a value, as a linked list: written out, the paths of all values in a text of 1 MiB take gigabytes."""

    name: str
    parent: _JsonPath | None


def diagnose(data: bytes, error: Exception) -> Misfit:
    """Reason and usable fields of a text for which msgspec raised `error`. Raises ValueError if it is not JSON."""
    text = data.decode()
    try:
        value = _parsed(text, _no_constant)
    except RecursionError:
        value = _parsed(_shallow(text), _too_deep)
    wrong_value = _first_wrong(value)
    reason = str(error) if wrong_value is None or isinstance(error, msgspec.ValidationError) else wrong_value
    fields = value if isinstance(value, dict) else {}
    return Misfit(reason, {key: field_value for key, field_value in fields.items() if not _is_wrong(field_value)})


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
    """The reason and path of a value that no record can hold, in msgspec's wording; None if there is none."""
    values_left: list[tuple[object, _JsonPath | None]] = [(value, None)]
    while values_left:
        value, path = values_left.pop()
        if _is_wrong(value):
            return f"{_reason(value)}{_shown(path)}"
        if isinstance(value, list):
            values_left += [(part, _JsonPath("[...]", path)) for part in value]
        elif isinstance(value, dict):
            if not all(map(_is_text, value)):
                return f"Lone surrogate in a key{_shown(path)}"
            values_left += [(part, _JsonPath(f".{name}", path)) for name, part in value.items()]
    return None


def _shown(path: _JsonPath | None) -> str:
    names: list[str] = []
    while path is not None:
        names.append(path.name)
        path = path.parent
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
    """The text with each nested array or object replaced by `null`, or by `Infinity` if it was too deep.

    The replaced parts are checked for matching brackets only, not for valid JSON: the sender gets an answer either way.
    Raises ValueError if brackets do not match.
    """
    kept: list[str] = []
    expected_closings: list[str] = []
    copied_to = deepest = depth = 0
    for match in _MARKS.finditer(text):
        sign = match[0]
        if sign == "[" or sign == "{":  # noqa: PLR1714 - this loop runs a million times for a record of 1 MiB
            if depth == 1:
                kept.append(text[copied_to : match.start()])
                deepest = 0
            expected_closings.append("]" if sign == "[" else "}")
            depth += 1
        elif sign == "]" or sign == "}":  # noqa: PLR1714
            if not depth or expected_closings.pop() != sign:
                raise ValueError(f"the {sign} at {match.start()} closes nothing")
            deepest = max(deepest, depth)
            depth -= 1
            if depth == 1:
                kept.append("null" if deepest < _MAX_DEPTH else _TOO_DEEP)
                copied_to = match.end()
        elif sign == '"':
            raise ValueError(f"the string at {match.start()} never ends")
    if expected_closings:
        raise ValueError(f"{depth} brackets are never closed")
    return "".join(kept) + text[copied_to:]
