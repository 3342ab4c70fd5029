"""A worker's slot file: that it lives, and which records it is computing, readable by others after a SIGKILL.

The file is memory-mapped, so a write costs microseconds and outlives the process without a flush. Clocks are
CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct("<QQQ")  # last tick ns, start of the computation in hand ns (0: none), number of records in it
_RECORD = struct.Struct("<QQ")  # partition, offset
_MOST = 4096
_SIZE = _HEADER.size + _MOST * _RECORD.size

RecordId = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a slot file says. Ages are in seconds; `computing_for` is None between computations."""

    tick_age: float
    computing_for: float | None
    computing: tuple[RecordId, ...]


class Ledger:
    """One slot file, opened by the worker to write and by the supervisor to read."""

    def __init__(self, path: Path) -> None:
        path.touch()
        with path.open("r+b") as file:
            file.truncate(_SIZE)
            self._map = mmap.mmap(file.fileno(), _SIZE)

    def reset(self) -> None:
        """Forgets the slot's last owner."""
        _HEADER.pack_into(self._map, 0, time.monotonic_ns(), 0, 0)

    def tick(self) -> None:
        """Says that the process lives."""
        struct.pack_into("<Q", self._map, 0, time.monotonic_ns())

    def begin(self, records: Sequence[RecordId]) -> None:
        """Says that these records are being computed, before they are."""
        blamed = records[:_MOST]
        flat = [number for record in blamed for number in record]
        struct.pack_into(f"<{len(flat)}Q", self._map, _HEADER.size, *flat)
        struct.pack_into("<QQ", self._map, 8, time.monotonic_ns(), len(blamed))

    def end(self) -> None:
        """Says that the computation is over."""
        struct.pack_into("<QQ", self._map, 8, 0, 0)

    def read(self) -> Seen:
        """What the file says now."""
        tick, began, count = _HEADER.unpack_from(self._map, 0)
        now = time.monotonic_ns()
        records = tuple(
            _RECORD.unpack_from(self._map, _HEADER.size + index * _RECORD.size) for index in range(min(count, _MOST))
        )
        return Seen((now - tick) / 1e9, (now - began) / 1e9 if began else None, records)

    def close(self) -> None:
        """Unmaps the file."""
        self._map.close()
