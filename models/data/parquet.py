"""Reads the columns of a Parquet file of interactions, of any type.

Each distinct value is converted by `models.data.values`, as the cells of CSV and JSON lines are.
"""

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
    """The distinct values of a column, and for each row the index of its value; -1 where the row has none."""

    values: list[_V]
    indices: NDArray[np.int64]


class ParquetRows:
    """A file's rows. `fits` is true for rows of which every cell could be read; the others are counted as skipped."""

    def __init__(self, path: Path, wanted: tuple[str, ...], needed: tuple[str, ...], skipped: Skipped) -> None:
        self._needed, self._skipped = needed, skipped
        self._table = _table(path, wanted, needed)
        self.fits: NDArray[np.bool_] = np.ones(len(self._table), bool)
        skipped.unit = "row"

    def is_moment(self, name: str) -> bool:
        """Whether a column is of a timestamp or date type; `column` passes its values as epoch milliseconds."""
        import pyarrow as pa

        arrow_type = self._table.schema.field(name).type
        return bool(pa.types.is_timestamp(arrow_type) or pa.types.is_date(arrow_type))

    def column(self, name: str, meaning: Callable[[Any], _V]) -> Column[_V]:
        """The column, its values converted by `meaning`, which raises ValueError for one that it cannot convert."""
        raw, indices = _distinct(self._table, name)
        meanings: dict[_V, int] = {}
        index_of_meaning, wrong = np.full(len(raw) + 1, -1), np.zeros(len(raw) + 1, np.int64)
        reasons = ["", "empty"]
        wrong[-1] = name in self._needed
        for index, value in enumerate(raw):
            try:
                index_of_meaning[index] = meanings.setdefault(meaning(value), len(meanings))
            except ValueError as problem:
                reason = "not UTF-8" if isinstance(problem, UnicodeDecodeError) else str(problem)
                if reason not in reasons:
                    reasons.append(reason)
                wrong[index] = reasons.index(reason)
        if name not in self._needed:
            wrong[wrong == 1] = 0  # reason 1, "empty", counts for needed columns only
        self._skip(name, reasons, wrong[indices], [*raw, None], indices)
        return Column(list(meanings), index_of_meaning[indices])

    def _skip(
        self, name: str, reasons: list[str], wrong: NDArray[np.int64], raw: list[object], indices: NDArray[np.int64]
    ) -> None:
        for number in range(1, len(reasons)):
            rows = np.flatnonzero((wrong == number) & self.fits)
            if len(rows):
                first = int(rows[0])
                value = raw[indices[first]]
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
        duplicates = [name for name in by_name if [other.strip().lower() for other in names].count(name) > 1]
        if duplicates:
            raise DataError(f"{path}: two columns are called {', '.join(duplicates)}; give each a name of its own")
        present = [name for name in wanted if name in by_name]
        return pq.read_table(path, columns=[by_name[name] for name in present]).rename_columns(present)
    except (pa.ArrowException, OSError) as problem:
        raise DataError(f"{path} cannot be read as Parquet: {problem}; write it again") from problem


def _distinct(table: Any, name: str) -> tuple[list[Any], NDArray[np.int64]]:
    """The distinct values of a column, texts as bytes and times as epoch ms, and each row's index; -1 for null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if name not in table.column_names:
        return [], np.full(len(table), -1)
    try:
        coded = pc.dictionary_encode(_plain(table[name])).combine_chunks()
        return coded.dictionary.to_pylist(), pc.fill_null(pc.cast(coded.indices, pa.int64()), -1).to_numpy()
    except (pa.ArrowException, AttributeError):  # nested types; a column of nulls has no dictionary
        values = table[name].to_pylist()
        return values, np.array([-1 if value is None else row for row, value in enumerate(values)], np.int64)


def _plain(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    arrow_type, types = column.type, pa.types
    if types.is_dictionary(arrow_type):
        return _plain(pc.cast(column, arrow_type.value_type))
    if types.is_string(arrow_type) or types.is_large_string(arrow_type) or types.is_string_view(arrow_type):
        return pc.cast(column, pa.large_binary())  # so that text which is not UTF-8 skips its row, not the file
    if types.is_timestamp(arrow_type):
        return pc.cast(pc.cast(column, pa.timestamp("ms", tz=arrow_type.tz), safe=False), pa.int64())
    if types.is_date(arrow_type):
        return pc.cast(pc.cast(column, pa.timestamp("ms"), safe=False), pa.int64())
    return column
