"""Products by their exact code or title: whoever types it gets them first, whatever else a ranking finds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from models.search.lexical import key

_FILE = "exact.safetensors"


@dataclass(frozen=True, slots=True)
class Exact:
    """Hashes of all codes and titles, sorted, and whose each is: 24 bytes a product, shared between forked workers."""

    hashes: NDArray[np.int64]
    places: NDArray[np.int32]

    def find(self, text: str) -> list[int]:
        """Places of the products with this code or title, in the catalogue's order, each once."""
        wanted = _hash(key(text))
        first = self.hashes.searchsorted(wanted)
        if first == len(self.hashes) or self.hashes[first] != wanted:
            return []
        last = self.hashes.searchsorted(wanted, side="right")
        return list(dict.fromkeys(self.places[first:last].tolist()))


def build_exact(item_ids: Sequence[str], titles: Sequence[str], folder: Path) -> None:
    """Writes what `load_exact` reads."""
    hashes = np.array([_hash(key(name)) for names in (item_ids, titles) for name in names], np.int64)
    places = np.tile(np.arange(len(item_ids), dtype=np.int32), 2)
    order = np.lexsort((places, hashes))
    save_file({"hashes": hashes[order], "places": places[order]}, folder / _FILE)


def load_exact(folder: Path) -> Exact:
    """What `build_exact` wrote; nothing for a model that is older."""
    if not (folder / _FILE).is_file():
        return Exact(np.empty(0, np.int64), np.empty(0, np.int32))
    stored = load_file(folder / _FILE)
    return Exact(stored["hashes"].copy(), stored["places"].copy())


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
