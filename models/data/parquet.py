"""The columns of a Parquet file of interactions, whatever types they have: each distinct value is read by the rules
of `models.data.values`, which are those of CSV and JSON lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.data.rows import Skipped
from standfast.core.errors import DataError

_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Column(Generic[_V]):
    """The distinct values of a column, and the place of each row's among them; -1 where the row has none."""

    values: list[_V]
    places: NDArray[np.int64]


class ParquetRows:
    """A file's rows. Those with a cell that does not fit are skipped; `fits` is true for the others."""

    def __init__(self, path: Path, wanted: tuple[str, ...], needed: tuple[str, ...], skipped: Skipped) -> None:
        self._needed, self._skipped = needed, skipped
        self._table = _table(path, wanted, needed)
        self.fits: NDArray[np.bool_] = np.ones(len(self._table), bool)
        skipped.unit = "row"

    def is_moment(self, name: str) -> bool:
        """Whether a column has a type of times, which `column` gives as epoch milliseconds."""
        import pyarrow as pa

        kind = self._table.schema.field(name).type
        return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))

    def column(self, name: str, meaning: Callable[[Any], _V]) -> Column[_V]:
        """The column by `meaning`, which raises ValueError for a value that does not fit."""
        raw, places = _distinct(self._table, name)
        meanings: dict[_V, int] = {}
        kept, wrong = np.full(len(raw) + 1, -1), np.zeros(len(raw) + 1, np.int64)
        reasons = ["", "empty"]
        wrong[-1] = name in self._needed
        for place, value in enumerate(raw):
            try:
                kept[place] = meanings.setdefault(meaning(value), len(meanings))
            except ValueError as problem:
                reason = "not UTF-8" if isinstance(problem, UnicodeDecodeError) else str(problem)
                if reason not in reasons:
                    reasons.append(reason)
                wrong[place] = reasons.index(reason)
        if name not in self._needed:
            wrong[wrong == 1] = 0  # an empty cell is none
        self._skip(name, reasons, wrong[places], [*raw, None], places)
        return Column(list(meanings), kept[places])

    def _skip(
        self, name: str, reasons: list[str], wrong: NDArray[np.int64], raw: list[object], places: NDArray[np.int64]
    ) -> None:
        for number in range(1, len(reasons)):
            rows = np.flatnonzero((wrong == number) & self.fits)
            if len(rows):
                first = int(rows[0])
                value = raw[places[first]]
                shown = value.decode(errors="replace") if isinstance(value, bytes) else value
                self._skipped.add(f"column {name}: {reasons[number]}", first + 1, shown, len(rows))
        self.fits &= wrong == 0


def _table(path: Path, wanted: tuple[str, ...], needed: tuple[str, ...]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
        by_name = {name.strip().lower(): name for name in names}
        missing = [name for name in needed if name not in by_name]
        if missing:
            raise DataError(f"{path}: no column {', '.join(missing)} (found: {', '.join(names)}); name them so")
        twice = [name for name in by_name if [other.strip().lower() for other in names].count(name) > 1]
        if twice:
            raise DataError(f"{path}: two columns are called {', '.join(twice)}; give each a name of its own")
        there = [name for name in wanted if name in by_name]
        return pq.read_table(path, columns=[by_name[name] for name in there]).rename_columns(there)
    except (pa.ArrowException, OSError) as problem:
        raise DataError(f"{path} cannot be read as Parquet: {problem}; write it again") from problem


def _distinct(table: Any, name: str) -> tuple[list[Any], NDArray[np.int64]]:
    """The distinct values of a column, texts as bytes, times as epoch ms; and each row's place, -1 for null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if name not in table.column_names:
        return [], np.full(len(table), -1)
    try:
        coded = pc.dictionary_encode(_plain(table[name])).combine_chunks()
        return coded.dictionary.to_pylist(), pc.fill_null(pc.cast(coded.indices, pa.int64()), -1).to_numpy()
    except (pa.ArrowException, AttributeError):  # lists and the like; a column of nulls has no dictionary
        values = table[name].to_pylist()
        return values, np.array([-1 if value is None else row for row, value in enumerate(values)], np.int64)


def _plain(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, types = column.type, pa.types
    if types.is_dictionary(kind):
        return _plain(pc.cast(column, kind.value_type))
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pc.cast(column, pa.large_binary())  # text that is not UTF-8 is one wrong row, not an error of the file
    if types.is_timestamp(kind):
        return pc.cast(pc.cast(column, pa.timestamp("ms", tz=kind.tz), safe=False), pa.int64())
    if types.is_date(kind):
        return pc.cast(pc.cast(column, pa.timestamp("ms"), safe=False), pa.int64())
    return column
