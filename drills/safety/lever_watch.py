"""Looks at the lever while drills run, in a thread: the runner's own may be waiting for a Kafka that is frozen."""

from __future__ import annotations

import threading
from collections.abc import Callable

from drills.safety import lever

_LOOK_EVERY_S = 0.05
_IDLE_S = 0.5  # while no drill runs; one that has just begun strikes nothing for longer than that
_JOIN_WITHIN_S = 1.0


class LeverWatch:
    """Calls `stop_all` with the reason as long as drills run and the lever is engaged."""

    def __init__(self, runs: Callable[[], bool], stop_all: Callable[[str], None]) -> None:
        self._runs = runs
        self._stop_all = stop_all
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="drills-lever", daemon=True)

    def start(self) -> None:
        """Starts looking; returns at once."""
        self._thread.start()

    def end(self) -> None:
        """Ends the thread."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_WITHIN_S)

    def _look(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S if self._runs() else _IDLE_S):
            if self._runs() and (reason := lever.engaged()):
                self._stop_all(f"stopped: {reason}")
