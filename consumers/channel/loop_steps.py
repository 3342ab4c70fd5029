"""When a worker's loop made its last step, in a small file that the worker and its supervisor map.

A worker's heartbeat comes from a thread of its own, and goes on while the thread that polls stands still. Through the
same file a drill has that thread stand still, until a moment that is written down: if whoever ordered it dies, the
worker goes on by itself.
"""

from __future__ import annotations

import time
from pathlib import Path

from standfast.core.mapped import mapped

# 64-bit words, CLOCK_MONOTONIC in ns: the last step (0: none yet), and until when the loop is to stand still.
_STEP, _STILL_UNTIL = 0, 1
_SIZE = 16
_STANDS_S = 0.01


def loop_file(slots: Path, slot: str) -> Path:
    """The path of a slot's file in the folder of the slots."""
    return slots / f"{slot}.loop"


class LoopSteps:
    """One slot's file, opened by the worker, its supervisor and drills. The constructor raises OSError."""

    def __init__(self, path: Path) -> None:
        self._map = mapped(path, _SIZE)
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")

    def reset(self) -> None:
        """Removes what the slot's last process and its drill wrote."""
        self._words[_STILL_UNTIL] = 0
        self._words[_STEP] = 0

    def step(self) -> None:
        """Writes that the loop goes on, without a system call; stands still before that, if a drill has ordered it."""
        while self._words[_STILL_UNTIL] > time.monotonic_ns():
            time.sleep(_STANDS_S)
        self._words[_STEP] = time.monotonic_ns()

    def stand_still(self, seconds: float) -> None:
        """Has the loop stand still at its next step for so many seconds from now on; 0 ends that."""
        self._words[_STILL_UNTIL] = time.monotonic_ns() + int(seconds * 1e9) if seconds else 0

    @property
    def is_to_stand_still(self) -> bool:
        """Whether a drill has ordered the loop to stand still, until a moment that has not come yet."""
        return self._words[_STILL_UNTIL] > time.monotonic_ns()

    @property
    def age_s(self) -> float | None:
        """The seconds since the last step; None before the first."""
        step = self._words[_STEP]
        return (time.monotonic_ns() - step) / 1e9 if step else None

    def close(self) -> None:
        """Unmaps the file."""
        self._words.release()
        self._bytes.release()
        self._map.close()
