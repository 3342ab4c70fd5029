"""How much of the machine others took meanwhile, which tells what figures are worth."""

from __future__ import annotations

import os
import time

from bench import processes


class BackgroundLoad:
    """Processes outside of this benchmark, watched from when this is made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._theirs = _theirs()

    def cores(self) -> float:
        """How many cores they have used since, on average."""
        return max(0.0, (_theirs() - self._theirs) / (time.perf_counter() - self._began))


def _theirs() -> float:
    """Processor time of everything but this process and what it started, also of what has ended since."""
    return processes.machine_seconds() - processes.whole_seconds(processes.family(os.getpid()))
