"""Reads filters as they are typed on the command line: `category=Lamps`, `price=5..20`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from standfast.core.errors import UsageError

if TYPE_CHECKING:
    from schemas.records import Filters, Range, Wanted

_NUMBER = r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"(?P<least>{_NUMBER})?\.\.(?P<most>{_NUMBER})?", re.ASCII)


def filters_of(words: Sequence[str]) -> Filters:
    """The filters of a request. Raises UsageError for a word that is none, and for two ranges of one attribute."""
    ranges: Filters = {}
    values: dict[str, list[Wanted]] = {}
    for word in words:
        name, equals, value = (part.strip() for part in word.partition("="))
        if not (name and equals and value):
            raise UsageError(f"--filter {word!r} is no filter; write NAME=VALUE, or NAME=5..20 for a range")
        if _RANGE.fullmatch(value) and value != "..":
            if name in ranges:
                raise UsageError(f"--filter {word!r} is a second range of {name!r}; give one")
            ranges[name] = _range(value)
        else:
            values.setdefault(name, []).append(value)
    if both := ranges.keys() & values.keys():
        raise UsageError(f"--filter gives a range and a value of {min(both)!r}; give the one or the other")
    return {**ranges, **values}


def _range(value: str) -> Range:
    from schemas.records import Range

    least, _, most = value.partition("..")
    return Range(float(least) if least else None, float(most) if most else None)
