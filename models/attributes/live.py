"""The attributes of a model's products as they are now: those at training, and over them those that changed since."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.attributes.columns import Columns, Mask, Numbers, within
from models.attributes.reading import Attributes, number_of, texts_of
from models.base import Filter

_FREE = -1


class LiveAttributes:
    """Products are numbered as in the model: those of the training from 0, and behind them those that came since.

    What a changed product has of attributes that training did not know is not kept.
    """

    def __init__(self, trained: Columns) -> None:
        self.trained = trained
        self._slots: dict[int, int] = {}  # of each changed product
        self._products = array("q")  # of each slot
        self._kept: list[Attributes] = []
        self._free: list[int] = []
        self._numbers = {name: array("d") for name, kind in trained.by_name.items() if isinstance(kind, Numbers)}
        self._texts: dict[str, dict[str, set[int]]] = {
            name: {} for name, kind in trained.by_name.items() if not isinstance(kind, Numbers)
        }

    def put(self, index: int, attributes: Attributes) -> None:
        """A product has these attributes from now on, and no others."""
        self.forget(index)
        slot = self._free.pop() if self._free else self._next_slot()
        self._slots[index], self._products[slot], self._kept[slot] = slot, index, attributes
        for name, value in attributes:
            if name in self._numbers:
                number = number_of(value)
                self._numbers[name][slot] = np.nan if number is None else number
            elif name in self._texts:
                for text in texts_of(value):
                    self._texts[name].setdefault(text, set()).add(slot)

    def forget(self, index: int) -> None:
        """A product has the attributes of its training again, if it was there then; else none."""
        slot = self._slots.pop(index, None)
        if slot is None:
            return
        for name, value in self._kept[slot]:
            if name in self._numbers:
                self._numbers[name][slot] = np.nan
            elif name in self._texts:
                self._remove(self._texts[name], texts_of(value), slot)
        self._products[slot], self._kept[slot] = _FREE, ()
        self._free.append(slot)

    def mask(self, filters: Sequence[Filter], products: int) -> Mask:
        """[products] for which of the first `products` all filters hold; their attributes must be known."""
        mask = np.zeros(products, bool)
        mask[: self.trained.products] = _all(
            [self.trained.by_name[each.attribute].mask(each) for each in filters], self.trained.products
        )
        if self._slots:
            where = np.array(self._products, np.int64)
            held = _all([self._changed(each) for each in filters], len(where))
            used = where != _FREE
            mask[where[used]] = held[used]
        return mask

    def numbers(self, name: str, marked: Mask) -> NDArray[np.float64]:
        """The numbers that the marked products have."""
        column = self.trained.by_name[name]
        if not isinstance(column, Numbers):
            return np.empty(0)
        changed = np.array(self._numbers[name], np.float64)[self._marked_slots(marked)]
        found = np.concatenate([column.numbers[self._unchanged(marked)], changed])
        there: NDArray[np.float64] = found[~np.isnan(found)]
        return there

    def counts(self, name: str, marked: Mask) -> Counter[str]:
        """How many of the marked products have each text; only texts that one has."""
        column, found = self.trained.by_name[name], Counter[str]()
        if isinstance(column, Numbers):
            return found
        counts = column.counts(self._unchanged(marked))
        found.update({column.values[code]: int(counts[code]) for code in np.flatnonzero(counts)})
        if self._slots:
            shown = set(self._marked_slots(marked).tolist())
            for text, slots in self._texts[name].items():
                if count := len(slots & shown):
                    found[text] += count
        return found

    def _changed(self, wanted: Filter) -> Mask:
        """For which slots a filter holds."""
        if wanted.attribute in self._numbers:
            return within(np.array(self._numbers[wanted.attribute], np.float64), wanted)
        mask = np.zeros(len(self._products), bool)
        for value in wanted.values:
            mask[list(self._texts[wanted.attribute].get(value, ()))] = True
        return mask

    def _unchanged(self, marked: Mask) -> Mask:
        """The marked products of the training whose attributes are those of then."""
        own = marked[: self.trained.products].copy()
        changed = np.array(self._products, np.int64)
        own[changed[(changed != _FREE) & (changed < len(own))]] = False
        return own

    def _marked_slots(self, marked: Mask) -> NDArray[np.int64]:
        """The slots of the marked products that changed."""
        where = np.array(self._products, np.int64)
        used = np.flatnonzero(where != _FREE)
        return used[marked[where[used]]]

    def _next_slot(self) -> int:
        self._products.append(_FREE)
        self._kept.append(())
        for numbers in self._numbers.values():
            numbers.append(np.nan)
        return len(self._kept) - 1

    @staticmethod
    def _remove(slots_of: dict[str, set[int]], texts: Sequence[str], slot: int) -> None:
        for text in texts:
            slots_of[text].discard(slot)
            if not slots_of[text]:
                del slots_of[text]


def _all(masks: Sequence[Mask], size: int) -> Mask:
    mask = np.ones(size, bool)
    for each in masks:
        mask &= each
    return mask
