"""A shop's interactions as columns: user, item, time, and how strong a sign of liking."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.data.parquet import ParquetRows
from models.data.rows import Skipped, read_rows
from models.data.values import epoch_ms, identity, plausible, quantity, whole_ids
from schemas.events import KNOWN, weight_of

NEEDED = ("user_id", "item_id", "timestamp")
_DEFAULT_EVENT = "purchase"
_UNKNOWN = f"an event of no known kind says nothing of liking (known are {KNOWN})"
_TAKES_BACK = "an event that takes back what was done before, such as a refund, a removal or a negative value"
_TAKEN_BACK = "taken back by a later event of the same user and product"


class Event(msgspec.Struct, frozen=True):
    """One row of a user's interactions. Further fields are ignored."""

    user_id: str | int | float
    item_id: str | int | float
    timestamp: int | float | str
    event: str | int | float | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Interactions:
    """Columns of equal length, sorted by time (equal times in the file's order), without events that were taken back.

    `user` and `item` are indices into `users` and `items`, `at` is in epoch milliseconds, `weight` in (0, 1].
    """

    users: list[str]
    items: list[str]
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    at: NDArray[np.int64]
    weight: NDArray[np.float32]
    digest: str

    def __len__(self) -> int:
        return len(self.user)

    def about(self, item_ids: Collection[str]) -> int:
        """How many of the events are about one of these products."""
        known = set(item_ids)
        return int(np.array([item in known for item in self.items], bool)[self.item].sum())


def read_interactions(path: Path) -> tuple[Interactions, Skipped]:
    """The events of a CSV, JSON lines or Parquet file that are signs of liking; times: epoch ms, epoch s or ISO 8601.

    Duplicate rows are kept: models count each pair of user and product once. Raises DataError for a file that does
    not hold interactions.
    """
    skipped = Skipped(path)
    columns = _from_parquet(path, skipped) if path.suffix.lower() == ".parquet" else _from_text(path, skipped)
    order = np.argsort(columns.at, kind="stable")
    kept = order[_not_taken_back(columns, order, skipped)]
    skipped.judge(len(kept), "interactions")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Interactions(
        users=whole_ids(columns.users),
        items=whole_ids(columns.items),
        user=columns.user[kept],
        item=columns.item[kept],
        at=columns.at[kept],
        weight=columns.weight[kept],
        digest=digest,
    ), skipped


@dataclass(frozen=True, slots=True)
class _Columns:
    """All events of a file. `weight` is in [-1, 1] as in `schemas.events`, `row` the number of the line or row."""

    users: list[str]
    items: list[str]
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    at: NDArray[np.int64]
    weight: NDArray[np.float32]
    row: NDArray[np.int64]


def _not_taken_back(columns: _Columns, order: NDArray[np.int64], skipped: Skipped) -> NDArray[np.bool_]:
    """Mask of the events, in the time order `order`, that are signs of liking and were not taken back later."""
    weight = columns.weight[order]
    kept: NDArray[np.bool_] = weight > 0
    if not (weight < 0).any():
        return kept
    pair = columns.user[order].astype(np.int64) * max(1, len(columns.items)) + columns.item[order]
    latest_first = np.argsort(pair, kind="stable")[::-1]  # by user and item, latest event first
    group = np.cumsum(np.diff(pair[latest_first], prepend=pair[latest_first[:1]]) != 0)
    # A running maximum within each group: group * 2000 lifts each group above the one before. Integers, because the sum
    # of a group's number and a float weight would be rounded.
    strength = np.rint(weight[latest_first] * 1000).astype(np.int64)
    taken_back = np.maximum.accumulate(group * 2000 + np.maximum(-strength, 0)) - group * 2000
    undone = latest_first[(strength > 0) & (strength <= taken_back)]
    if len(undone):
        first = order[undone[np.argmin(columns.row[order[undone]])]]
        skipped.note(_TAKEN_BACK, int(columns.row[first]), columns.items[columns.item[first]], len(undone))
    kept[undone] = False
    return kept


def _from_text(path: Path, skipped: Skipped) -> _Columns:
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    user, item, at, weight, row = array("i"), array("i"), array("q"), array("f"), array("q")
    for line, event in read_rows(path, Event, NEEDED, skipped):
        name = ""
        try:
            name = "user_id"
            user_id = identity(event.user_id)
            name = "item_id"
            item_id = identity(event.item_id)
            name = "timestamp"
            timestamp = epoch_ms(event.timestamp)
        except (ValueError, OverflowError) as problem:
            skipped.add(f"column {name}: {problem}", line, getattr(event, name))
            continue
        kind = _DEFAULT_EVENT if event.event is None else str(event.event).strip() or _DEFAULT_EVENT
        strength = weight_of(kind, event.value)
        if strength <= 0:
            skipped.note(_TAKES_BACK if strength < 0 else _UNKNOWN, line, kind)
        user.append(users.setdefault(user_id, len(users)))
        item.append(items.setdefault(item_id, len(items)))
        at.append(timestamp)
        weight.append(strength)
        row.append(line)
    return _Columns(
        list(users),
        list(items),
        np.array(user, np.int32),
        np.array(item, np.int32),
        np.array(at, np.int64),
        np.array(weight, np.float32),
        np.array(row, np.int64),
    )


def _from_parquet(path: Path, skipped: Skipped) -> _Columns:
    file = ParquetRows(path, (*NEEDED, "event", "value"), NEEDED, skipped)
    user, item = file.column("user_id", identity), file.column("item_id", identity)
    at = file.column("timestamp", plausible if file.is_moment("timestamp") else epoch_ms)
    event, value = file.column("event", identity), file.column("value", quantity)
    rows = np.flatnonzero(file.fits)
    kinds, values = [*event.values, _DEFAULT_EVENT], [*value.values, None]
    kinds_and_values, first, pair_of_row = np.unique(
        (event.indices[rows] % len(kinds)) * len(values) + value.indices[rows] % len(values),
        return_index=True,
        return_inverse=True,
    )
    strengths = [
        weight_of(kinds[kind_and_value // len(values)], values[kind_and_value % len(values)])
        for kind_and_value in kinds_and_values.tolist()
    ]
    counts = np.bincount(pair_of_row, minlength=len(kinds_and_values)).tolist()
    for strength, first_row, count, kind_and_value in zip(
        strengths, first.tolist(), counts, kinds_and_values.tolist(), strict=True
    ):
        if strength <= 0:
            reason = _TAKES_BACK if strength < 0 else _UNKNOWN
            skipped.note(reason, int(rows[first_row]) + 1, kinds[kind_and_value // len(values)], count)
    return _Columns(
        user.values,
        item.values,
        user.indices[rows].astype(np.int32),
        item.indices[rows].astype(np.int32),
        np.array(at.values, np.int64)[at.indices[rows]],
        np.array(strengths, np.float32)[pair_of_row],
        rows + 1,
    )
