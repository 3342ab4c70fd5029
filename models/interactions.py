"""What customers did, as columns: who, what, when, how strong a sign of interest."""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.rows import Skipped, read_rows
from standfast.errors import DataError

NEEDED = ("user_id", "item_id", "timestamp")
EVENT_WEIGHTS = {"view": 0.2, "click": 0.4, "cart": 0.7, "purchase": 1.0}
_DEFAULT_EVENT = "purchase"
_UNKNOWN_EVENT_WEIGHT = 0.4
_RATINGS = frozenset({"rating", "rate"})
_HIGHEST_RATING = 5.0
_LOWEST = 0.05


class Event(msgspec.Struct, frozen=True):
    """One row of a user's interactions. Further fields are allowed and not read."""

    user_id: str | int
    item_id: str | int
    timestamp: int | float | str
    event: str | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Interactions:
    """Columns of equal length, in time order (equal times keep the file's): `user` and `item` are places in
    `users` and `items`, `at` epoch milliseconds, `weight` in (0, 1]."""

    users: list[str]
    items: list[str]
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    at: NDArray[np.int64]
    weight: NDArray[np.float32]
    digest: str

    def __len__(self) -> int:
        return len(self.user)


def read_interactions(path: Path) -> tuple[Interactions, Skipped]:
    """The events of a CSV, JSON lines or Parquet file; time stamps are epoch ms, epoch s or ISO 8601.

    Equal rows are kept: the models count a customer and a product once. Raises DataError for a file that is
    not interactions.
    """
    skipped = Skipped(path)
    columns = _from_parquet(path, skipped) if path.suffix == ".parquet" else _from_text(path, skipped)
    skipped.judge(len(columns.user), "interactions")
    order = np.argsort(columns.at, kind="stable")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Interactions(
        users=columns.users,
        items=columns.items,
        user=columns.user[order],
        item=columns.item[order],
        at=columns.at[order],
        weight=columns.weight[order],
        digest=digest,
    ), skipped


def weight_of(event: str | None, value: float | None) -> float:
    """How strong a sign of interest: a purchase counts 1, a rating its share of five, a view least."""
    kind = (event or _DEFAULT_EVENT).strip().lower()
    if kind in _RATINGS and value is not None:
        return min(1.0, max(_LOWEST, value / _HIGHEST_RATING))
    return EVENT_WEIGHTS.get(kind, _UNKNOWN_EVENT_WEIGHT)


def epoch_ms(stamp: int | float | str) -> int:
    """Epoch milliseconds of a time stamp; ValueError when it is none. ISO times without a zone are UTC."""
    if isinstance(stamp, str):
        return _text_ms(stamp.strip())
    if not 0 < stamp < 1e14:
        raise ValueError(stamp)
    return int(stamp * 1000 if stamp < 1e11 else stamp)


def _text_ms(stamp: str) -> int:
    try:
        return epoch_ms(float(stamp))
    except ValueError:
        moment = datetime.fromisoformat(stamp)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class _Columns:
    users: list[str]
    items: list[str]
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    at: NDArray[np.int64]
    weight: NDArray[np.float32]


def _from_text(path: Path, skipped: Skipped) -> _Columns:
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    user, item, at, weight = array("i"), array("i"), array("q"), array("f")
    for line, event in read_rows(path, Event, NEEDED, skipped):
        who, what = str(event.user_id).strip(), str(event.item_id).strip()
        if not who or not what:
            skipped.add("empty user_id" if not who else "empty item_id", line)
            continue
        try:
            at.append(epoch_ms(event.timestamp))
        except (ValueError, OverflowError):
            skipped.add("column timestamp: neither epoch ms, epoch s nor ISO 8601", line, event.timestamp)
            continue
        user.append(users.setdefault(who, len(users)))
        item.append(items.setdefault(what, len(items)))
        weight.append(weight_of(event.event, event.value))
    return _Columns(
        list(users),
        list(items),
        np.frombuffer(user, np.int32) if user else np.empty(0, np.int32),
        np.frombuffer(item, np.int32) if item else np.empty(0, np.int32),
        np.frombuffer(at, np.int64) if at else np.empty(0, np.int64),
        np.frombuffer(weight, np.float32) if weight else np.empty(0, np.float32),
    )


def _from_parquet(path: Path, skipped: Skipped) -> _Columns:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
        missing = [name for name in NEEDED if name not in names]
        if missing:
            raise DataError(f"{path}: no column {', '.join(missing)} (found: {', '.join(names)})")
        table = pq.read_table(path, columns=[n for n in (*NEEDED, "event", "value") if n in names])
    except (pa.ArrowException, OSError) as problem:
        raise DataError(f"{path} cannot be read as Parquet: {problem}; write it again") from problem
    known = pc.and_(pc.is_valid(table["user_id"]), pc.is_valid(table["item_id"]))
    stamps = _parquet_times(path, table["timestamp"])
    fits = pc.and_(known, pc.fill_null(pc.and_(pc.greater(stamps, 0), pc.less(stamps, 10**14)), False))
    wrong = len(table) - pc.sum(fits).as_py() if len(table) else 0
    if wrong:
        first = pc.index(fits, pa.scalar(False)).as_py()
        value = {name: table[name][first].as_py() for name in NEEDED}
        skipped.add("no user_id, no item_id or no time stamp", first + 1, value, wrong)
    table, stamps = table.filter(fits), stamps.filter(fits)
    users, user = _coded(path, "user_id", table["user_id"])
    items, item = _coded(path, "item_id", table["item_id"])
    at = stamps.to_numpy()
    return _Columns(users, items, user, item, np.where(at < 10**11, at * 1000, at), _parquet_weights(path, table))


def _parquet_times(path: Path, column: Any) -> Any:
    """The column as int64: epoch s, epoch ms, or from Parquet's own time stamps."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        if pa.types.is_timestamp(column.type):
            return pc.cast(pc.cast(column, pa.timestamp("ms", tz=column.type.tz), safe=False), pa.int64())
        return pc.cast(column, pa.int64(), safe=False)
    except pa.ArrowException as problem:
        raise DataError(
            f"{path}, column timestamp is {column.type} ({problem}); make it epoch ms, epoch s or a time stamp"
        ) from problem


def _coded(path: Path, name: str, column: Any) -> tuple[list[str], NDArray[np.int32]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        texts = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    except pa.ArrowException as problem:
        raise DataError(f"{path}, column {name} is {column.type}; make it text or a whole number") from problem
    coded = pc.dictionary_encode(texts).combine_chunks()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int32)


def _parquet_weights(path: Path, table: Any) -> NDArray[np.float32]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if "event" not in table.column_names:
        return np.full(len(table), weight_of(None, None), np.float32)
    names, event = _coded(path, "event", pc.fill_null(table["event"], _DEFAULT_EVENT))
    weights = np.array([weight_of(name, None) for name in names], np.float32)[event]
    ratings = [place for place, name in enumerate(names) if name.lower() in _RATINGS]
    if ratings and "value" in table.column_names:
        values = pc.cast(table["value"], pa.float64(), safe=False).to_numpy()
        rated = np.isin(event, ratings) & ~np.isnan(values)
        weights[rated] = np.clip(values[rated] / _HIGHEST_RATING, _LOWEST, 1.0)
    return weights
