"""Reads the rows of a user's text file (CSV or JSON lines, plain or .gz), each checked against a record type.

A row that does not fit is skipped, and counted by its reason with the line of the first such row. If more than one row
in twenty does not fit, DataError is raised.

A quote that is never closed would make one cell of all lines up to the next quote. Only the row of that quote is
skipped: the lines after its first are read again as rows of their own.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO, TypeAlias, TypeVar

import msgspec

from standfast.core.errors import DataError

JSON_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
CSV_SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
_TOLERATED = 0.05  # share of rows that may be skipped
_FIELD_LIMIT, _MOST_LINES = 10_000_000, 1_000  # bounds for a cell (characters) and for a row (lines) with an open quote
_UNCLOSED = 'a quote that is never closed; close it, or write a quote inside a cell twice ("")'
_T = TypeVar("_T")
Fields: TypeAlias = Callable[[], Mapping[str, object]]


@dataclass(slots=True)
class Skipped:
    """Rows of one file that were skipped, by reason, with the line and value of the first for each reason.

    `noted`: the reasons for which a valid row is not counted; these rows do not make a file wrong.
    """

    file: Path
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    noted: set[str] = field(default_factory=set)
    unit: str = "line"

    def add(self, reason: str, line: int, value: object = None, count: int = 1) -> None:
        """Counts `count` rows under `reason`; `line` and `value` are those of the first row."""
        self.counts[reason] = self.counts.get(reason, 0) + count
        shown = "" if value is None else f", value {str(value)[:60]!r}"
        self.first.setdefault(reason, f"{self.unit} {line}{shown}")

    def note(self, reason: str, line: int, value: object = None, count: int = 1) -> None:
        """The same for valid rows that are not counted."""
        self.noted.add(reason)
        self.add(reason, line, value, count)

    @property
    def total(self) -> int:
        """The number of rows that do not fit."""
        return sum(count for reason, count in self.counts.items() if reason not in self.noted)

    def lines(self) -> list[str]:
        """One line of text for each reason."""
        return [
            f"{count:,} {'not counted' if why in self.noted else 'skipped'}: {why} (first: {self.first[why]})"
            for why, count in self.counts.items()
        ]

    def judge(self, kept: int, what: str) -> None:
        """Raises DataError when no row was kept or more than one row in twenty was skipped; `what` names the rows."""
        if kept and self.total <= _TOLERATED * (kept + self.total):
            return
        if not self.counts:
            raise DataError(f"{self.file} holds no {what}; give a file with at least one row")
        if not self.total:
            reasons = "; ".join(self.lines())
            raise DataError(f"{self.file} holds no {what} that count: {reasons}. Nothing was loaded; correct the file")
        worst = max(self.counts.keys() - self.noted, key=lambda reason: self.counts[reason])
        raise DataError(
            f"{self.file}, {self.first[worst]}: {worst}; {self.total:,} of {kept + self.total:,} rows do not fit, "
            f"so nothing was loaded. Correct the file (at most 5 % of rows may be left out)"
        )


def read_rows(path: Path, kind: type[_T], needed: tuple[str, ...], skipped: Skipped) -> Iterator[tuple[int, _T]]:
    """Line number and record of every row that fits `kind`; the others go to `skipped`.

    `needed` are the columns a CSV must have. Raises DataError for a file that cannot be read at all.
    """
    for line, record, _ in read_whole_rows(path, kind, needed, skipped):
        yield line, record


def read_whole_rows(
    path: Path, kind: type[_T], needed: tuple[str, ...], skipped: Skipped
) -> Iterator[tuple[int, _T, Fields]]:
    """The same, each with a function that gives all its fields by name, also those that `kind` does not have."""
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if suffix.lower() not in JSON_SUFFIXES | CSV_SUFFIXES:
        raise DataError(f"{path}: cannot tell the format from {suffix!r}; name it .csv, .tsv or .jsonl (also .gz)")
    try:
        with _opened(path) as file:
            if suffix.lower() in JSON_SUFFIXES:
                yield from _json_rows(file, path, kind, skipped)
            else:
                yield from _csv_rows(file, path, kind, needed, skipped)
    except UnicodeDecodeError as problem:
        bad = problem.object[problem.start : problem.start + 1].hex()
        raise DataError(f"{path} is not UTF-8 (byte 0x{bad}); save it as UTF-8") from problem
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(f"{path} cannot be read: {problem}; check the path and that the file is whole") from problem


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _json_rows(file: TextIO, path: Path, kind: type[_T], skipped: Skipped) -> Iterator[tuple[int, _T, Fields]]:
    decoder, whole = msgspec.json.Decoder(kind, strict=False), msgspec.json.Decoder(dict[str, object])
    for line, text in enumerate(file, start=1):
        if line == 1 and text.lstrip().startswith("["):
            raise DataError(f"{path}, line 1 begins with '[': give JSON lines, one object a line, not one array")
        if not text.strip():
            continue
        try:
            yield line, decoder.decode(text), partial(whole.decode, text)
        except (msgspec.ValidationError, msgspec.DecodeError) as problem:
            reason, key = _reason(problem)
            skipped.add(reason, line, _json_value(text, key))
        except RecursionError:
            skipped.add("nested too deep", line)


class _Lines:
    """A file's lines, for csv.reader. `row` holds the lines of the current row, `number` that of the last line.

    Lines of the current row can be given back, to be read again.
    """

    def __init__(self, file: TextIO) -> None:
        self._file, self._given_back = iter(file), deque[str]()
        self.number, self.row = 0, list[str]()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.row) > _MOST_LINES:
            raise csv.Error(_UNCLOSED)
        line = self._given_back.popleft() if self._given_back else next(self._file)
        self.number += 1
        self.row.append(line)
        return line

    def give_back(self, kept: int) -> None:
        """Ends the current row after its first `kept` lines; the next row begins with the line after them."""
        lines = self.row[kept:]
        self._given_back.extendleft(reversed(lines))
        self.number -= len(lines)
        self.row = self.row[:kept]


def _csv_rows(
    file: TextIO, path: Path, kind: type[_T], needed: tuple[str, ...], skipped: Skipped
) -> Iterator[tuple[int, _T, Fields]]:
    csv.field_size_limit(_FIELD_LIMIT)
    lines = _Lines(file)
    delimiter, columns = _heading(lines, path, needed)
    for line, cells in _cells(lines, delimiter, skipped):
        row = {name: cell for name, cell in zip(columns, cells, strict=False) if cell.strip()}
        if any(cell.strip() for cell in cells[len(columns) :]):
            skipped.add(
                f"more cells than the heading; quote a cell that holds {delimiter!r}", line, cells[len(columns)]
            )
            continue
        if not row:
            continue
        try:
            yield line, msgspec.convert(row, kind, strict=False), partial(dict, row)
        except msgspec.ValidationError as problem:
            reason, key = _reason(problem)
            skipped.add(reason, line, row.get(key or ""))


def _cells(lines: _Lines, delimiter: str, skipped: Skipped) -> Iterator[tuple[int, list[str]]]:
    """The first line and the cells of every row that csv.reader can parse."""
    rows = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        lines.row, line = [], lines.number + 1
        try:
            cells = next(rows, None)
        except csv.Error as problem:
            skipped.add(_damage(problem, lines.row), line, lines.row[0].strip())
            lines.give_back(1)
            continue
        if cells is None:
            return
        yield line, cells


def _damage(problem: csv.Error, row: list[str]) -> str:
    if "field larger" in str(problem):
        return f"a cell of more than {_FIELD_LIMIT:,} characters"
    if len(row) > 1 or "unexpected end" in str(problem):
        return _UNCLOSED
    return 'text after a closing quote; write a quote inside a cell twice ("")'


def _heading(lines: _Lines, path: Path, needed: tuple[str, ...]) -> tuple[str, list[str]]:
    """The delimiter and the names of the columns, in lower case; a quoted name may contain a line break."""
    while (heading := next(lines, "")) and not heading.strip():
        lines.row = []
    delimiter = max(",;\t|", key=heading.count)
    lines.give_back(0)
    try:
        cells = next(csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True), [])
    except csv.Error as problem:
        raise DataError(f"{path}, line 1: {_damage(problem, lines.row)} (in the heading)") from problem
    columns = [" ".join(name.split()).lower() for name in cells]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise DataError(
            f"{path}, line 1: no column {', '.join(missing)} (found: {', '.join(columns) or 'nothing'}); "
            f"the first line must name the columns"
        )
    duplicates = sorted({name for name in columns if name and columns.count(name) > 1})
    if duplicates:
        raise DataError(f"{path}, line 1: two columns are called {', '.join(duplicates)}; give each a name of its own")
    return delimiter, columns


def _reason(problem: msgspec.MsgspecError) -> tuple[str, str | None]:
    """msgspec's message in words for a user, and the column that it names."""
    text = str(problem)
    match = re.search(r"missing required field `(\w+)`", text)
    if match:
        return f"no {match[1]}", None
    match = re.search(r"^(?P<why>.*) - at `\$\.(?P<key>\w+)`", text)
    if match:
        why = match["why"].lower().replace("int | float | str", "str")  # a number is taken as text
        return f"column {match['key']}: {why}", match["key"]
    return ("not a JSON object" if isinstance(problem, msgspec.ValidationError) else "not JSON"), None


def _json_value(text: str, key: str | None) -> object:
    if key is None:
        return text.strip()
    return msgspec.json.decode(text, type=dict[str, object]).get(key)
