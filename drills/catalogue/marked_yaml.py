"""YAML whose every value knows its line, so that an error can name it. Parsed by PyYAML; no tags, no aliases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong at one place of a file; lines count from 1."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Marked:
    """A document as plain data, and the line of each value and key by its path from the root."""

    data: object
    lines: dict[Path, int]
    mistakes: tuple[Mistake, ...]

    def line(self, path: Path) -> int:
        """The line of that path, or of the nearest thing around it that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def marked(text: str) -> Marked:
    """The document in `text`. Never raises for what a user may have written: what is wrong stands in `mistakes`."""
    try:
        _refuse_aliases(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return Marked(None, {}, (Mistake(mark.line + 1 if mark else 1, f"not YAML: {error.problem or error.context}"),))
    except yaml.YAMLError as error:  # characters that YAML does not allow: they have no line
        return Marked(None, {}, (Mistake(1, f"not YAML: {error}"),))
    if root is None:
        return Marked(None, {}, (Mistake(1, "the file is empty"),))
    reading = _Reading()
    return Marked(reading.value(root, ()), reading.lines, tuple(reading.mistakes))


def _refuse_aliases(text: str) -> None:
    """An alias of an alias of an alias makes gigabytes of a few lines, and no drill needs one."""
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.AliasToken):
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not read here", problem_mark=token.start_mark)


class _Reading:
    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.mistakes: list[Mistake] = []
        self._constructor = yaml.SafeLoader("")

    def value(self, node: Node, path: Path) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, number)) for number, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, object]:
        read: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                self.mistakes.append(Mistake(line, "a key must be a word"))
                continue
            key = str(key_node.value)
            if key in read:
                self.mistakes.append(Mistake(line, f"{key} stands here for the second time"))
            self.lines[*path, key] = line
            read[key] = self.value(value_node, (*path, key))
        return read

    def _scalar(self, node: Node) -> object:
        try:
            return self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            text = getattr(error, "problem", None) or str(error)
            self.mistakes.append(Mistake(node.start_mark.line + 1, f"{node.value!r:.100} cannot be read: {text}"))
            return None
