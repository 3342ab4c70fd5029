"""Finds products by their exact code or title, which answers list before all others."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Sorted hashes of all codes and titles, and the index of the product of each: 36 bytes a product.

    Forked workers share the two arrays.
    """

    hashes: NDArray[np.int64]
    indices: NDArray[np.int32]

    def find(self, text: str) -> list[int]:
        """Indices of the products with this code or title, in the catalogue's order, each once.

        A code is also found with other signs and blanks than it has: 84029G as `84029 G`.
        """
        return self._find(key(text)) or (self._find(_CODE + code) if (code := joined_code(text)) else [])

    def _find(self, name: str) -> list[int]:
        wanted_hash = hash64(name)
        first = self.hashes.searchsorted(wanted_hash)
        if first == len(self.hashes) or self.hashes[first] != wanted_hash:
            return []
        last = self.hashes.searchsorted(wanted_hash, side="right")
        found = list(dict.fromkeys(self.indices[first:last].tolist()))
        if min(found) < 0:  # Python would take it for a product counted from the end
            raise IndexError(f"a product's index is {min(found)}: the index of codes and titles is damaged")
        return found


def build_exact(item_ids: Sequence[str], titles: Sequence[str], folder: Path) -> None:
    """Writes the file that `load_exact` reads."""
    joined = [_CODE + (joined_code(item_id) or key(item_id)) for item_id in item_ids]
    names = (*map(key, item_ids), *map(key, titles), *joined)
    hashes = np.array([hash64(name) for name in names], np.int64)
    indices = np.tile(np.arange(len(item_ids), dtype=np.int32), 3)
    order = np.lexsort((indices, hashes))
    save_file({"hashes": hashes[order], "places": indices[order]}, folder / _FILE)


def load_exact(folder: Path) -> ExactIndex:
    """The file that `build_exact` wrote; empty for a model of a release without it."""
    if not (folder / _FILE).is_file():
        return ExactIndex(np.empty(0, np.int64), np.empty(0, np.int32))
    stored = load_file(folder / _FILE)
    return ExactIndex(stored["hashes"].copy(), stored["places"].copy())
