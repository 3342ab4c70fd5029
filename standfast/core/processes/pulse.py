"""A counter that a process's main loop raises with each step, for its supervisor to read."""

from __future__ import annotations

from pathlib import Path

from standfast.core.mapped import mapped

_SIZE = 8


class Pulse:
    """One process's counter, in a small file that it and its supervisor map. The constructor raises OSError."""

    def __init__(self, path: Path) -> None:
        self._counter = memoryview(mapped(path, _SIZE)).cast("Q")

    def beat(self) -> None:
        """Counts a step; makes no system call."""
        self._counter[0] += 1

    @property
    def count(self) -> int:
        """The number of steps since `reset`."""
        return self._counter[0]

    def reset(self) -> None:
        """Sets the counter to 0, for a new process."""
        self._counter[0] = 0
