"""Compares a model's weights in memory with what was loaded, a little at a time and for ever.

A worker does it in a thread of the lowest priority: CRC-32 is computed without the interpreter lock, so answers do not
wait for it, and a worker that finds damage ends before it writes another answer, whatever it is doing at that moment.
A bit that is flipped in a worker's own copy of a page is seen only there; one in a page that is shared is seen by all.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from math import ceil

from models.weights import Weights

_MOST = 8  # chunks in a row: 0.6 ms
_PAUSE_S = 0.05  # the pause that is aimed at between them
_LOWEST = 19
_MISSED_S = 1.0  # what was due before that is not made up for


class WeightsWatch:
    """Goes round a model's weights so that each round takes `every_s` seconds; 0: only when hurried."""

    def __init__(self, weights: Weights, every_s: float) -> None:
        self._weights = weights
        self._at_once = max(1, min(_MOST, ceil(_PAUSE_S * len(weights) / every_s))) if every_s else 1
        self._pause_s = every_s * self._at_once / len(weights) if every_s and len(weights) else None
        self._first = 0
        self._due = time.monotonic()
        self._hurried = threading.Event()

    def start(self, damaged: Callable[[str], object]) -> None:
        """Watches in a thread of its own, which calls `damaged` with what is wrong, and ends then."""
        threading.Thread(target=self._run, args=(damaged,), name="weights", daemon=True).start()

    def hurry(self) -> None:
        """Has the thread compare everything now; returns at once."""
        self._hurried.set()

    def step(self) -> str:
        """Compares what is due, in a process without that thread; returns what is wrong, empty if nothing is."""
        damage = ""
        while self._pause_s is not None and not damage and self._due <= time.monotonic():
            damage = self._next()
            self._due = max(self._due + self._pause_s, time.monotonic() - _MISSED_S)
        return damage

    def _next(self) -> str:
        damage = self._weights.damage(self._first, self._at_once)
        self._first = self._first + self._at_once if self._first + self._at_once < len(self._weights) else 0
        return damage

    def _run(self, damaged: Callable[[str], object]) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
        damage = ""
        while not damage:
            if self._hurried.wait(self._pause_s):
                self._hurried.clear()
                damage = self._weights.damage()
            else:
                damage = self._next()
        damaged(damage)
