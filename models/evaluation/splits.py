"""Splits of a shop's interactions into those to train from and those to predict; the same for every model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.data.interactions import Interactions

SplitName = Literal["time", "last", "one", "random", "mixed"]
SPLITS: dict[SplitName, str] = {
    "time": "events before the 80 % time quantile; predicted are the products that customers met first after it",
    "last": "predicted is each customer's last fifth of products, those met first last",
    "one": "predicted is each customer's last product (leave-one-out)",
    "random": "predicted is a quarter of the pairs of customer and product, drawn by product",
    "mixed": "half of what is predicted comes last, by time or by customer, half is drawn at random",
}
_TIME, _LAST, _DRAWN = 0.2, 0.2, 0.25
_OF_BOTH = 0.6  # of these shares, in a mixed split: what is left to train from shrinks by both
_LEAST_KEPT = 2  # products of a customer below which none of hers is predicted
_Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Split:
    """Masks of the events to train from and, by kind, of those to predict. Some are in neither: they came too late."""

    before: _Mask
    after: dict[str, _Mask]

    def train(self, events: Interactions) -> Interactions:
        """The events to train from."""
        return selected(events, self.before)

    def tests(self, events: Interactions) -> dict[str, Interactions]:
        """The events to predict, by kind: `next` and `random`."""
        return {kind: selected(events, mask) for kind, mask in self.after.items()}


def selected(events: Interactions, kept: _Mask) -> Interactions:
    """The events for which `kept` is true; users and items keep their numbers."""
    return replace(
        events, user=events.user[kept], item=events.item[kept], at=events.at[kept], weight=events.weight[kept]
    )


def split(events: Interactions, name: SplitName, seed: int = 42, following: SplitName = "last") -> Split:
    """The events split by a protocol. `seed` is for what is drawn, `following` what comes last in `mixed`."""
    if name == "random":
        drawn = _drawn(events, seed, _DRAWN)
        return Split(~drawn, {"random": drawn})
    if name == "mixed":
        before, after = _next(events, following, _OF_BOTH)
        drawn = _drawn(events, seed, _DRAWN * _OF_BOTH)
        return Split(before & ~drawn, {"next": after, "random": before & drawn})
    before, after = _next(events, name)
    return Split(before, {"next": after})


def _next(events: Interactions, name: SplitName, share: float = 1.0) -> tuple[_Mask, _Mask]:
    if name == "time":
        before = events.at < np.quantile(events.at, 1 - _TIME * share) if len(events) else np.zeros(0, bool)
        return before, ~before
    return _last(events, 0.0 if name == "one" else _LAST * share)


def _pairs(events: Interactions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of each event's pair of user and item, and the position of each pair's first event."""
    cells = events.user.astype(np.int64) * max(1, len(events.items)) + events.item
    _, first, number = np.unique(cells, return_index=True, return_inverse=True)
    return number, first


def _drawn(events: Interactions, seed: int, share: float) -> _Mask:
    """Like Microsoft's stratified split: of each item's pairs, a share drawn at random."""
    number, first = _pairs(events)
    draw, drawn = np.random.default_rng(seed), np.zeros(len(first), bool)
    item = events.item[first]
    by_item = np.argsort(item, kind="stable")
    for pairs in np.split(by_item, np.flatnonzero(np.diff(item[by_item])) + 1):
        drawn[draw.permutation(pairs)[round((1 - share) * len(pairs)) :]] = True
    mask: _Mask = drawn[number]
    return mask


def _last(events: Interactions, share: float) -> tuple[_Mask, _Mask]:
    """Each user's events are cut where the first of the last products is met first; at least one is predicted."""
    number, first = _pairs(events)
    user = events.user[first]
    order = np.lexsort((first, user))
    users, begins, counts = np.unique(user[order], return_index=True, return_counts=True)
    held_out = np.maximum(1, (counts * share).astype(np.int64))
    cuts = np.full(len(events.users), len(events), np.int64)  # by user: the position from which nothing is trained from
    some = counts - held_out >= _LEAST_KEPT
    cuts[users[some]] = first[order[(begins + counts - held_out)[some]]]
    after_cut = np.arange(len(events)) >= cuts[events.user]
    return ~after_cut, after_cut & (first[number] >= cuts[events.user])
