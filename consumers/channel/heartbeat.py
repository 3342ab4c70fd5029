"""A worker's slot file: its last tick and the records it is computing, readable by the supervisor after a SIGKILL.

The file is memory-mapped, so a write costs microseconds and outlives the process without a flush. Times are
CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from standfast.core.mapped import mapped

# 64-bit words: the last tick in ns, the start of the current computation in ns (0: none), the number of its records,
# whether a canary's challenger computes, then partition and offset of each record. Each word is stored by one
# assignment: `struct.pack_into` zeroes its target first, and a supervisor that read in between took a live worker for
# one that had not ticked since the machine was started.
_TICK, _BEGAN, _COUNT, _CHALLENGED, _RECORDS = 0, 1, 2, 3, 4
_MOST = 4096  # records: the largest `batch` that the settings allow
_SIZE = 8 * (_RECORDS + 2 * _MOST)

RecordId = tuple[int, int]


@dataclass(frozen=True, slots=True)
class HeartbeatReading:
    """The contents of a slot file. Times are in seconds before now; `computing_for` is None between computations.

    `challenged`: a canary's challenger computes, and not the champion.
    """

    tick_age: float
    computing_for: float | None
    computing: tuple[RecordId, ...]
    challenged: bool = False


class Heartbeat:
    """One slot file, opened by the worker to write and by the supervisor to read."""

    def __init__(self, path: Path) -> None:
        self._map = mapped(path, _SIZE)
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")

    def reset(self) -> None:
        """Removes what the slot's last process wrote."""
        self.end()
        self.challenge(False)
        self.tick()

    def tick(self) -> None:
        """Writes that the process lives."""
        self._words[_TICK] = time.monotonic_ns()

    def begin(self, records: Sequence[RecordId]) -> None:
        """Names the records that are about to be computed."""
        blamed = records[:_MOST]
        for index, (partition, offset) in enumerate(blamed):
            self._words[_RECORDS + 2 * index] = partition
            self._words[_RECORDS + 2 * index + 1] = offset
        self._words[_COUNT] = len(blamed)
        self._words[_BEGAN] = time.monotonic_ns()

    def end(self) -> None:
        """Ends the computation; no records are named any more."""
        self._words[_BEGAN] = 0
        self._words[_COUNT] = 0

    def challenge(self, computes: bool) -> None:
        """Writes whether a canary's challenger computes from now on."""
        self._words[_CHALLENGED] = computes

    def read(self) -> HeartbeatReading:
        """The contents of the file now."""
        tick, began, count = self._words[_TICK], self._words[_BEGAN], min(self._words[_COUNT], _MOST)
        now = time.monotonic_ns()
        flat = self._words[_RECORDS : _RECORDS + 2 * count].tolist()
        records = tuple(zip(flat[::2], flat[1::2], strict=True))
        computing_for = (now - began) / 1e9 if began else None
        return HeartbeatReading((now - tick) / 1e9, computing_for, records, bool(self._words[_CHALLENGED]))

    def close(self) -> None:
        """Unmaps the file."""
        self._words.release()
        self._bytes.release()
        self._map.close()
