"""Finds products by their exact code or title, which answers list before all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from models.data.hash64 import hash64
from models.search.words import joined_code, key

_FILE = "exact.safetensors"
_CODE = "\0"  # before a code without its signs: no title begins so


@dataclass(frozen=True, slots=True)
class ExactIndex:
    """Sorted hashes of all codes and titles, and the index of the product of each; the hash of each product's text.

    44 bytes a product; forked workers share the arrays. They are empty for a model of a release without them.
    """

    hashes: NDArray[np.int64]
    indices: NDArray[np.int32]
    texts: NDArray[np.int64]

    def find(self, text: str) -> list[int]:
        """Indices of the products with this code or title, in the catalogue's order, each once.

        A code is also found with other signs and blanks than it has: 84029G as `84029 G`.
        """
        return next((found for name in looked_up(text) if (found := self.named(name))), [])

    def named(self, name: str) -> list[int]:
        """Indices of the products with this name, one of `names`."""
        wanted_hash = hash64(name)
        first = self.hashes.searchsorted(wanted_hash)
        if first == len(self.hashes) or self.hashes[first] != wanted_hash:
            return []
        last = self.hashes.searchsorted(wanted_hash, side="right")
        found = list(dict.fromkeys(self.indices[first:last].tolist()))
        if min(found) < 0:  # Python would take it for a product counted from the end
            raise IndexError(f"a product's index is {min(found)}: the index of codes and titles is damaged")
        return found

    def index(self, item_id: str, item_ids: Sequence[str]) -> int | None:
        """The index of a product in `item_ids`, from which this was built; None if it is not there."""
        candidates = self.named(key(item_id)) if len(self.hashes) else range(len(item_ids))
        return next((index for index in candidates if item_ids[index] == item_id), None)

    def has_text(self, index: int, text: str) -> bool:
        """Whether a product was indexed with this text; False where that is not known."""
        return bool(len(self.texts)) and int(self.texts[index]) == hash64(text)


def looked_up(text: str) -> Iterator[str]:
    """The names under which a text is looked up, in this order: the first that a product has is the one meant."""
    yield key(text)
    if code := joined_code(text):
        yield _CODE + code


def names(item_id: str, title: str) -> tuple[str, str, str]:
    """The names of a product: its code, its title, and its code without its signs."""
    return key(item_id), key(title), _CODE + (joined_code(item_id) or key(item_id))


def build_exact(item_ids: Sequence[str], titles: Sequence[str], texts: Sequence[str], folder: Path) -> None:
    """Writes the file that `load_exact` reads."""
    text_hashes = np.array([hash64(text) for text in texts], np.int64)
    named = [names(item_id, title) for item_id, title in zip(item_ids, titles, strict=True)]
    hashes = np.array([hash64(name) for product in named for name in product], np.int64).reshape(-1)
    indices = np.repeat(np.arange(len(item_ids), dtype=np.int32), 3)
    order = np.lexsort((indices, hashes))
    save_file({"hashes": hashes[order], "places": indices[order], "texts": text_hashes}, folder / _FILE)


def load_exact(folder: Path) -> ExactIndex:
    """The file that `build_exact` wrote; empty for a model of a release without it."""
    if not (folder / _FILE).is_file():
        return ExactIndex(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int64))
    stored = load_file(folder / _FILE)
    texts = stored.get("texts", np.empty(0, np.int64))
    return ExactIndex(stored["hashes"].copy(), stored["places"].copy(), texts.copy())
