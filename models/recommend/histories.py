"""Who was interested in what, by customer: each distinct product once, in the order it was last met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.interactions import Interactions
from models.data.users import user_hash

DAY_MS = 24 * 3600 * 1000
_LATEST = 0.999  # share of the events; what is later, such as one event years after all others, moves nobody's "now"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Distinct (user, item) pairs, by user, each user's oldest first; `weight` fades with age, `at` is the last."""

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    at: NDArray[np.int64]
    weight: NDArray[np.float32]
    users: int
    items: int

    def matrix(self) -> Tensor:
        """[items, users], sparse COO, coalesced."""
        order = np.lexsort((self.user, self.item))
        places = np.stack([self.item[order], self.user[order]])
        return torch.sparse_coo_tensor(
            torch.from_numpy(places),
            torch.from_numpy(self.weight[order]),
            size=(self.items, self.users),
            is_coalesced=True,
            check_invariants=False,
        )


def now_of(events: Interactions) -> int:
    """The time from which ages are counted: the last event's, or that of the last before a few stragglers."""
    return int(events.at[int(_LATEST * (len(events) - 1))]) if len(events) else 0


def pairs_of(
    events: Interactions, places: NDArray[np.int64], items: int, now: int, half_life_days: float | None
) -> Pairs:
    """The pairs of `events`; `places` maps the events' items to rows of the catalogue, -1 for none.

    A pair's weight is its strongest event's, halved for every `half_life_days` before `now`: however often somebody
    views a product, he is one who did.
    """
    item = places[events.item]
    kept = item >= 0
    user, item, at = events.user[kept].astype(np.int64), item[kept], events.at[kept]
    weight = events.weight[kept]
    if half_life_days:
        weight = weight * np.exp2(np.minimum(at - now, 0) / (half_life_days * DAY_MS)).astype(np.float32)
    key = user * items + item
    order = np.argsort(key, kind="stable")
    key, first = np.unique(key[order], return_index=True)
    if not len(key):
        empty = np.empty(0, np.int64)
        return Pairs(empty, empty, empty, np.empty(0, np.float32), len(events.users), items)
    strongest = np.maximum.reduceat(weight[order], first).astype(np.float32)
    last = np.maximum.reduceat(at[order], first)
    by_time = np.lexsort((last, key // items))
    return Pairs(
        key[by_time] // items,
        key[by_time] % items,
        last[by_time],
        strongest[by_time],
        len(events.users),
        items,
    )


@dataclass(frozen=True, slots=True)
class TrainedHistories:
    """Each known user's products, oldest first. Users are kept as 64-bit hashes: small, shared between forked
    workers, and no list of customers lies in a model's files."""

    hashes: NDArray[np.int64]
    starts: NDArray[np.int64]
    items: NDArray[np.int32]

    def of(self, user_id: str | None) -> list[int]:
        """A user's products, latest first; none for a user who was not there at training."""
        if user_id is None:
            return []
        wanted = user_hash(user_id)
        place = int(self.hashes.searchsorted(wanted))
        if place == len(self.hashes) or self.hashes[place] != wanted:
            return []
        item_numbers: list[int] = self.items[self.starts[place] : self.starts[place + 1]][::-1].tolist()
        return item_numbers


def histories_of(users: Sequence[str], pairs: Pairs) -> TrainedHistories:
    """All products of every user, however many: what is not kept here cannot be left out of an answer."""
    hashes = np.fromiter(map(user_hash, users), np.int64, len(users))
    begin = np.searchsorted(pairs.user, np.arange(len(users) + 1))
    by_hash = np.argsort(hashes)
    firsts, ends = begin[:-1][by_hash], begin[1:][by_hash]
    parts = [pairs.item[first:end] for first, end in zip(firsts, ends, strict=True)]
    starts = np.concatenate([[0], np.cumsum(ends - firsts)]).astype(np.int64)
    items = np.concatenate(parts) if parts else np.empty(0)
    return TrainedHistories(hashes[by_hash], starts, items.astype(np.int32))
