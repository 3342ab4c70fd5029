"""Waiting for a Kafka that is down: with back-off, and logged once, not at every attempt."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from standfast.core.backoff import wait_s
from standfast.core.processes import role_word

_TICK_S = 0.05  # between two looks at `stopping`
_log = structlog.get_logger()


class StoppedWaiting(Exception):
    """The process was told to stop while Kafka was still down."""


class Retry:
    """One operation that may fail for a while. `wait` raises StoppedWaiting once `stopping` returns True."""

    def __init__(self, what: str, stopping: Callable[[], bool]) -> None:
        self._what = what
        self._stopping = stopping
        self._failures = 0

    def wait(self, error: str) -> None:
        """Waits for the back-off of the n-th failure in a row; logs the first failure."""
        if self._failures == 0:
            _log.warning(f"{self._what}; trying again until it works", error=error)
        self._failures += 1
        deadline = time.monotonic() + wait_s(self._failures)
        while time.monotonic() < deadline:
            role_word.beat()
            if self._stopping():
                raise StoppedWaiting
            time.sleep(_TICK_S)

    def over(self) -> None:
        """Resets the back-off after a success; logs it if there were failures."""
        if self._failures:
            _log.info(f"no longer: {self._what}", failures=self._failures)
        self._failures = 0
