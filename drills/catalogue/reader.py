"""From a file of the catalogue to a definition, or all that is wrong with it: file, line, and what would be right."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import msgspec
from msgspec import inspect

from drills.catalogue.checks import wrongs
from drills.catalogue.definition import Definition, DefinitionPart
from drills.catalogue.marked_yaml import Marked, Mistake, Path, marked
from drills.params import nearest
from standfast.core.errors import DrillUsageError

P = TypeVar("P", bound=DefinitionPart)
_PLACE = re.compile(r"(.*) - at `\$(.*)`$", re.DOTALL)
_PART = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_WORDS = {
    "float": "number",
    "int": "whole number",
    "str": "text",
    "bool": "true or false",
    "array": "list",
    "object": "mapping (key: value)",
    "null": "nothing",
}


class BadDefinition(DrillUsageError):
    """A file that is no drill; its message has a line for each thing that is wrong."""

    def __init__(self, file: str, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        lines = [
            f"{file}:{mistake.line}: {mistake.text}" for mistake in sorted(mistakes, key=lambda mistake: mistake.line)
        ]
        super().__init__("\n".join(lines))


def read(file: str, text: str) -> Definition:
    """The definition in a file's text; raises BadDefinition. `file` is how the errors name it."""
    return read_as(Definition, wrongs, file, text)


def read_as(kind: type[P], wrongs_of: Callable[[P], Iterable[tuple[Path, str]]], file: str, text: str) -> P:
    """A part of that kind in a file's text, about which `wrongs_of` finds nothing; raises BadDefinition."""
    document = marked(text)
    mistakes = [*document.mistakes, *_unknown_keys(document, kind), *_not_finite(document)]
    if mistakes:
        raise BadDefinition(file, mistakes)
    try:
        definition = msgspec.convert(document.data, kind)
    except msgspec.ValidationError as error:
        raise BadDefinition(file, [_told(document, str(error))]) from None
    mistakes = [Mistake(document.line(path), text) for path, text in wrongs_of(definition)]
    if mistakes:
        raise BadDefinition(file, mistakes)
    return definition


def _unknown_keys(document: Marked, kind: type) -> Iterator[Mistake]:
    for path, known in _surplus(document.data, inspect.type_info(kind), ()):
        yield Mistake(document.line(path), f"there is no key {path[-1]!r:.100} here{nearest(str(path[-1]), known)}")


def _surplus(value: object, kind: inspect.Type, path: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each key that its place does not know, and those that it does."""
    if isinstance(kind, inspect.UnionType):
        for one in kind.types:
            yield from _surplus(value, one, path)
    elif isinstance(kind, inspect.VarTupleType) and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _surplus(item, kind.item_type, (*path, number))
    elif isinstance(kind, inspect.StructType) and isinstance(value, dict):
        fields = {field.encode_name: field.type for field in kind.fields}
        for key, item in value.items():
            if key in fields:
                yield from _surplus(item, fields[key], (*path, key))
            else:
                yield (*path, key), list(fields)


def _not_finite(document: Marked) -> Iterator[Mistake]:
    for path, line in document.lines.items():
        value = document.data
        for part in path:
            value = value[part]  # type: ignore[index]
        if isinstance(value, float) and not math.isfinite(value):
            yield Mistake(line, f"{path[-1]} = {value}: give a finite number")


def _told(document: Marked, message: str) -> Mistake:
    """msgspec's words in those of a file."""
    match = _PLACE.match(message)
    text, place = (match[1], match[2]) if match else (message, "")
    path: Path = tuple(int(number) if number else name for name, number in _PART.findall(place))
    if missing := re.search(r"missing required field `(\w+)`", text):
        return Mistake(document.line(path), f"{missing[1]} is missing")
    if types := re.match(r"Expected `(.+)`, got `(.+)`$", text):
        wanted = " or ".join(_WORDS.get(word, word) for word in types[1].split(" | ") if word != "null")
        text = f"give a {wanted}, not a {_WORDS.get(types[2], types[2])}"
    named = next((str(part) for part in reversed(path) if isinstance(part, str)), "the file")
    return Mistake(document.line(path), f"{named}: {text}")
