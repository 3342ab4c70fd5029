"""What customers did, as columns: who, what, when, how strong a sign of liking."""

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
_TAKEN = "taken back by a later event of the same user and product"


class Event(msgspec.Struct, frozen=True):
    """One row of a user's interactions. Further fields are allowed and not read."""

    user_id: str | int | float
    item_id: str | int | float
    timestamp: int | float | str
    event: str | int | float | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Interactions:
    """Columns of equal length, in time order (equal times keep the file's): `user` and `item` are places in
    `users` and `items`, `at` epoch milliseconds, `weight` in (0, 1]. What was taken back is not among them."""

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
    """The events of a CSV, JSON lines or Parquet file that speak for liking; times are epoch ms, epoch s or ISO 8601.

    Equal rows are kept: the models count a customer and a product once. Raises DataError for a file that is
    not interactions.
    """
    skipped = Skipped(path)
    columns = _from_parquet(path, skipped) if path.suffix.lower() == ".parquet" else _from_text(path, skipped)
    order = np.argsort(columns.at, kind="stable")
    kept = order[_standing(columns, order, skipped)]
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
    """`weight` in [-1, 1] as `schemas.events` has it, `row` the event's number in the file."""

    users: list[str]
    items: list[str]
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    at: NDArray[np.int64]
    weight: NDArray[np.float32]
    row: NDArray[np.int64]


def _standing(columns: _Columns, order: NDArray[np.int64], skipped: Skipped) -> NDArray[np.bool_]:
    """Which of the events, in the time order `order`, speak for liking and were not taken back later."""
    weight = columns.weight[order]
    stands: NDArray[np.bool_] = weight > 0
    if not (weight < 0).any():
        return stands
    pair = columns.user[order].astype(np.int64) * max(1, len(columns.items)) + columns.item[order]
    latest = np.argsort(pair, kind="stable")[::-1]  # pair by pair, the latest event first
    group = np.cumsum(np.diff(pair[latest], prepend=pair[latest[:1]]) != 0)
    # Whole numbers: the sum of a group's number and a weight would round. A later group's are above an earlier one's.
    strength = np.rint(weight[latest] * 1000).astype(np.int64)
    taken = np.maximum.accumulate(group * 2000 + np.maximum(-strength, 0)) - group * 2000
    back = latest[(strength > 0) & (strength <= taken)]
    if len(back):
        first = back[np.argmin(columns.row[order[back]])]
        skipped.note(_TAKEN, int(columns.row[order[first]]), columns.items[columns.item[order[first]]], len(back))
    stands[back] = False
    return stands


def _from_text(path: Path, skipped: Skipped) -> _Columns:
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    user, item, at, weight, row = array("i"), array("i"), array("q"), array("f"), array("q")
    for line, event in read_rows(path, Event, NEEDED, skipped):
        name = ""
        try:
            name = "user_id"
            who = identity(event.user_id)
            name = "item_id"
            what = identity(event.item_id)
            name = "timestamp"
            when = epoch_ms(event.timestamp)
        except (ValueError, OverflowError) as problem:
            skipped.add(f"column {name}: {problem}", line, getattr(event, name))
            continue
        kind = _DEFAULT_EVENT if event.event is None else str(event.event).strip() or _DEFAULT_EVENT
        sign = weight_of(kind, event.value)
        if sign <= 0:
            skipped.note(_TAKES_BACK if sign < 0 else _UNKNOWN, line, kind)
        user.append(users.setdefault(who, len(users)))
        item.append(items.setdefault(what, len(items)))
        at.append(when)
        weight.append(sign)
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
    both, first, place = np.unique(
        (event.places[rows] % len(kinds)) * len(values) + value.places[rows] % len(values),
        return_index=True,
        return_inverse=True,
    )
    signs = [weight_of(kinds[pair // len(values)], values[pair % len(values)]) for pair in both.tolist()]
    counts = np.bincount(place, minlength=len(both)).tolist()
    for sign, at_first, count, pair in zip(signs, first.tolist(), counts, both.tolist(), strict=True):
        if sign <= 0:
            reason = _TAKES_BACK if sign < 0 else _UNKNOWN
            skipped.note(reason, int(rows[at_first]) + 1, kinds[pair // len(values)], count)
    return _Columns(
        user.values,
        item.values,
        user.places[rows].astype(np.int32),
        item.places[rows].astype(np.int32),
        np.array(at.values, np.int64)[at.places[rows]],
        np.array(signs, np.float32)[place],
        rows + 1,
    )
