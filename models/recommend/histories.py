"""Users' histories: each distinct product once, in the order of its last event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.hash64 import hash64
from models.data.interactions import Interactions

DAY_MS = 24 * 3600 * 1000
_LATEST = 0.999  # quantile of the events that is "now": an event years after all others must not age them


@dataclass(frozen=True, slots=True)
class Pairs:
    """Distinct (user, item) pairs, sorted by user, each user's oldest first.

    `at` is the time of the last event in epoch milliseconds, `weight` that of the strongest, faded with its age.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    at: NDArray[np.int64]
    weight: NDArray[np.float32]
    users: int
    items: int

    def of_user(self, user: int) -> NDArray[np.int64]:
        """A user's items, oldest first."""
        begin, end = np.searchsorted(self.user, [user, user + 1])
        return self.item[begin:end]

    def of_first(self, items: int) -> Pairs:
        """The pairs of the first `items` items alone."""
        return replace(self.only(self.item < items), items=items)

    def only(self, kept: NDArray[np.bool_]) -> Pairs:
        """The pairs for which `kept` is true."""
        return replace(self, user=self.user[kept], item=self.item[kept], at=self.at[kept], weight=self.weight[kept])

    def matrix(self) -> Tensor:
        """[items, users], sparse COO, coalesced."""
        order = np.lexsort((self.user, self.item))
        indices = np.stack([self.item[order], self.user[order]])
        return torch.sparse_coo_tensor(
            torch.from_numpy(indices),
            torch.from_numpy(self.weight[order]),
            size=(self.items, self.users),
            is_coalesced=True,
            check_invariants=False,
        )


def now_of(events: Interactions) -> int:
    """The time from which ages are counted, in epoch milliseconds: the 99.9 % quantile of the events' times."""
    return int(events.at[int(_LATEST * (len(events) - 1))]) if len(events) else 0


def pairs_of(
    events: Interactions, item_rows: NDArray[np.int64], items: int, now: int, half_life_days: float | None
) -> Pairs:
    """The pairs of `events`; `item_rows` maps the events' items to rows of the catalogue, -1 for none.

    A pair's weight is that of its strongest event, halved for every `half_life_days` before `now`: a user who views a
    product often counts once. Products of equal time are in the order of the file.
    """
    item = item_rows[events.item]
    known_items = item >= 0
    user, item, at = events.user[known_items].astype(np.int64), item[known_items], events.at[known_items]
    weight = events.weight[known_items]
    if half_life_days:
        weight = weight * np.exp2(np.minimum(at - now, 0) / (half_life_days * DAY_MS)).astype(np.float32)
    pair_keys = user * items + item
    order = np.argsort(pair_keys, kind="stable")
    pair_keys, first = np.unique(pair_keys[order], return_index=True)
    if not len(pair_keys):
        empty = np.empty(0, np.int64)
        return Pairs(empty, empty, empty, np.empty(0, np.float32), len(events.users), items)
    strongest = np.maximum.reduceat(weight[order], first).astype(np.float32)
    last = np.maximum.reduceat(order, first)  # a pair's last event: events are sorted by time
    by_time = np.lexsort((last, pair_keys // items))
    return Pairs(
        pair_keys[by_time] // items,
        pair_keys[by_time] % items,
        at[last[by_time]],
        strongest[by_time],
        len(events.users),
        items,
    )


@dataclass(frozen=True, slots=True)
class TrainedHistories:
    """The products of each user at training, oldest first.

    Users are 64-bit hashes: small, shared by forked workers, and no user ids are in a model's files.
    """

    hashes: NDArray[np.int64]
    starts: NDArray[np.int64]
    items: NDArray[np.int32]

    def of(self, user_id: str | None) -> list[int]:
        """A user's products, latest first; none for a user without events at training."""
        if user_id is None:
            return []
        wanted_hash = hash64(user_id)
        row = int(self.hashes.searchsorted(wanted_hash))
        if row == len(self.hashes) or self.hashes[row] != wanted_hash:
            return []
        items_of_user: list[int] = self.items[self.starts[row] : self.starts[row + 1]][::-1].tolist()
        return items_of_user


def histories_of(users: Sequence[str], pairs: Pairs) -> TrainedHistories:
    """All products of every user, without a limit: `exclude_seen` can exclude only products that are kept here."""
    hashes = np.fromiter(map(hash64, users), np.int64, len(users))
    starts_by_user = np.searchsorted(pairs.user, np.arange(len(users) + 1))
    by_hash = np.argsort(hashes)
    firsts, ends = starts_by_user[:-1][by_hash], starts_by_user[1:][by_hash]
    parts = [pairs.item[first:end] for first, end in zip(firsts, ends, strict=True)]
    starts = np.concatenate([[0], np.cumsum(ends - firsts)]).astype(np.int64)
    items = np.concatenate(parts) if parts else np.empty(0)
    return TrainedHistories(hashes[by_hash], starts, items.astype(np.int32))
