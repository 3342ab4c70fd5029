"""That a process still does its work: a count that its own loop raises with each step, and that others read."""

from __future__ import annotations

from pathlib import Path

from standfast.core.mapped import mapped

_SIZE = 8


class Pulse:
    """One process's count, in a small file that it and its supervisor share as memory. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._word = memoryview(mapped(path, _SIZE)).cast("Q")

    def beat(self) -> None:
        """Says that a step was made; takes no system call."""
        self._word[0] += 1

    @property
    def count(self) -> int:
        """How many steps there were since `reset`."""
        return self._word[0]

    def reset(self) -> None:
        """Forgets the steps of the process before."""
        self._word[0] = 0
