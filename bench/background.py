"""The processor time that other processes take during a benchmark, to judge how reliable its figures are."""

from __future__ import annotations

import os
import time

from bench import processes


class BackgroundLoad:
    """The load of processes outside this benchmark, from the construction of this object on."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._others_seconds = _others_seconds()

    def cores(self) -> float:
        """How many cores they have used since, on average."""
        return max(0.0, (_others_seconds() - self._others_seconds) / (time.perf_counter() - self._began))


def _others_seconds() -> float:
    """Processor time (s) of everything but this process and its descendants, including processes that have ended."""
    return processes.machine_seconds() - processes.whole_seconds(processes.family(os.getpid()))
