"""What a drill orders a worker's model to suffer, in a small file that the worker and the drill map.

An order ends at a moment that is written down with it: if whoever gave it dies, the worker is well again by itself.
Without an order the worker reads one word for each batch.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, get_args

from standfast.core.mapped import mapped

Suffering = Literal["nan", "slow", "out_of_memory", "device_lost", "bit_flip"]
_KINDS: tuple[Suffering, ...] = get_args(Suffering)
# 64-bit words. From the drill: which order (0: none, else its place in _KINDS, from 1 on), until when it holds
# (CLOCK_MONOTONIC in ns), and how much: milliseconds, or a seed. From the worker: how often it has suffered, whether
# what it did is taken back, and when it found its weights damaged (as above).
_KIND, _UNTIL, _AMOUNT, _SUFFERED, _TAKEN_BACK, _FOUND = range(6)
_SIZE = 8 * 6


def disturbance_file(slots: Path, slot: str) -> Path:
    """The path of a slot's file in the folder of the slots."""
    return slots / f"{slot}.model"


class Disturbance:
    """One slot's file, opened by the worker and by drills. The constructor raises OSError."""

    def __init__(self, path: Path) -> None:
        self._map = mapped(path, _SIZE)
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")

    def reset(self) -> None:
        """Removes what the slot's last process and its drill wrote."""
        for word in range(6):
            self._words[word] = 0

    def order(self, kind: Suffering, seconds: float, amount: int = 0) -> None:
        """Orders it for so long; the order itself is written last."""
        for word in (_KIND, _SUFFERED, _TAKEN_BACK, _FOUND):
            self._words[word] = 0
        self._words[_AMOUNT] = amount
        self._words[_UNTIL] = time.monotonic_ns() + int(seconds * 1e9)
        self._words[_KIND] = _KINDS.index(kind) + 1

    def clear(self) -> None:
        """Takes the order away."""
        self._words[_KIND] = 0

    @property
    def kind(self) -> Suffering | None:
        """The failure that is ordered; None without an order, or after its end."""
        kind = self._words[_KIND]
        return _KINDS[kind - 1] if kind and self._words[_UNTIL] > time.monotonic_ns() else None

    @property
    def amount(self) -> int:
        """The order's amount: milliseconds added to a batch by `slow`, the seed of `bit_flip`."""
        return self._words[_AMOUNT]

    @property
    def suffered(self) -> int:
        """The number of times that the worker has made its model fail since the order was given."""
        return self._words[_SUFFERED]

    def suffer(self) -> None:
        """The worker suffers it once more."""
        self._words[_SUFFERED] += 1

    @property
    def is_taken_back(self) -> bool:
        """Whether the worker has undone the failure, as its checksums show."""
        return bool(self._words[_TAKEN_BACK])

    def take_back(self) -> None:
        """The worker has nothing left of what it suffered."""
        self._words[_TAKEN_BACK] = 1

    @property
    def found_at(self) -> float | None:
        """When (monotonic) the worker found its weights damaged; None if it has not."""
        return self._words[_FOUND] / 1e9 or None

    def found(self) -> None:
        """The worker has just found its weights damaged."""
        self._words[_FOUND] = time.monotonic_ns()

    def close(self) -> None:
        """Unmaps the file."""
        self._words.release()
        self._bytes.release()
        self._map.close()
