"""Rows of a user's text file (CSV, JSON lines; plain or .gz), each checked against a record type.

A row that does not fit is skipped and counted with its reason and the first line it was seen on; when more than
one row in twenty does not fit, the file is not what it was taken for and a DataError says so.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, TypeVar

import msgspec

from standfast.errors import DataError

JSON_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
CSV_SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
_TOLERATED = 0.05
_FIELD_LIMIT = 10_000_000
_T = TypeVar("_T")


@dataclass(slots=True)
class Skipped:
    """Rows left out of one file, by reason, each with the place of its first."""

    file: Path
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, line: int, value: object = None, count: int = 1) -> None:
        """Counts `count` rows under `reason`; `line` and `value` are those of the first of them."""
        self.counts[reason] = self.counts.get(reason, 0) + count
        shown = "" if value is None else f", value {str(value)[:60]!r}"
        self.first.setdefault(reason, f"line {line}{shown}")

    @property
    def total(self) -> int:
        """All rows left out."""
        return sum(self.counts.values())

    def lines(self) -> list[str]:
        """For people: one line a reason."""
        return [f"{count:,} skipped: {why} (first: {self.first[why]})" for why, count in self.counts.items()]

    def judge(self, kept: int, what: str) -> None:
        """Raises DataError when nothing was kept or more than one row in twenty was left out."""
        if kept and self.total <= _TOLERATED * (kept + self.total):
            return
        if not self.total:
            raise DataError(f"{self.file} holds no {what}; give a file with at least one row")
        worst = max(self.counts, key=lambda reason: self.counts[reason])
        raise DataError(
            f"{self.file}, {self.first[worst]}: {worst}; {self.total:,} of {kept + self.total:,} rows do not fit, "
            f"so nothing was loaded. Correct the file (at most 5 % of rows may be left out)"
        )


def read_rows(path: Path, kind: type[_T], needed: tuple[str, ...], skipped: Skipped) -> Iterator[tuple[int, _T]]:
    """Line number and record of every row that fits `kind`; the others go to `skipped`.

    `needed` are the columns a CSV must have. Raises DataError for a file that cannot be read at all.
    """
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


def _json_rows(file: TextIO, path: Path, kind: type[_T], skipped: Skipped) -> Iterator[tuple[int, _T]]:
    decoder = msgspec.json.Decoder(kind, strict=False)
    for line, text in enumerate(file, start=1):
        if line == 1 and text.lstrip().startswith("["):
            raise DataError(f"{path}, line 1 begins with '[': give JSON lines, one object a line, not one array")
        if not text.strip():
            continue
        try:
            yield line, decoder.decode(text)
        except (msgspec.ValidationError, msgspec.DecodeError) as problem:
            reason, key = _reason(problem)
            skipped.add(reason, line, _json_value(text, key))
        except RecursionError:
            skipped.add("nested too deep", line)


def _csv_rows(
    file: TextIO, path: Path, kind: type[_T], needed: tuple[str, ...], skipped: Skipped
) -> Iterator[tuple[int, _T]]:
    csv.field_size_limit(_FIELD_LIMIT)
    header = file.readline()
    delimiter = max(",;\t|", key=header.count)
    columns = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), [])]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise DataError(
            f"{path}, line 1: no column {', '.join(missing)} (found: {', '.join(columns) or 'nothing'}); "
            f"the first line must name the columns"
        )
    rows = csv.reader(file, delimiter=delimiter)
    try:
        for cells in rows:
            line = rows.line_num + 1
            row = {name: cell for name, cell in zip(columns, cells, strict=False) if cell.strip()}
            if not row:
                continue
            try:
                yield line, msgspec.convert(row, kind, strict=False)
            except msgspec.ValidationError as problem:
                reason, key = _reason(problem)
                skipped.add(reason, line, row.get(key or ""))
    except csv.Error as problem:
        raise DataError(f"{path}, line {rows.line_num + 1}: {problem}; check the quotes there") from problem


def _reason(problem: msgspec.MsgspecError) -> tuple[str, str | None]:
    """msgspec's message in words, and the column it is about."""
    text = str(problem)
    absent = re.search(r"missing required field `(\w+)`", text)
    if absent:
        return f"no {absent[1]}", None
    place = re.search(r"^(?P<why>.*) - at `\$\.(?P<key>\w+)`", text)
    if place:
        return f"column {place['key']}: {place['why'].lower()}", place["key"]
    return ("not a JSON object" if isinstance(problem, msgspec.ValidationError) else "not JSON"), None


def _json_value(text: str, key: str | None) -> object:
    if key is None:
        return text.strip()
    return msgspec.json.decode(text, type=dict[str, object]).get(key)
