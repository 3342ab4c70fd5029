"""Waiting for a Kafka that is down: with back-off, said once and not every second."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from standfast.core.backoff import wait_s
from standfast.core.processes import role_word

_TICK_S = 0.05
_log = structlog.get_logger()


class StoppedWaiting(Exception):
    """The process is to end while Kafka is still down."""


class Retry:
    """One thing that may fail for a while. `wait` raises StoppedWaiting when `stopping` says so."""

    def __init__(self, what: str, stopping: Callable[[], bool]) -> None:
        self._what = what
        self._stopping = stopping
        self._failures = 0

    def wait(self, error: str) -> None:
        """Waits as long as the n-th failure in a row deserves; logs the first."""
        if self._failures == 0:
            _log.warning(f"{self._what}; trying again until it works", error=error)
        self._failures += 1
        until = time.monotonic() + wait_s(self._failures)
        while time.monotonic() < until:
            role_word.beat()
            if self._stopping():
                raise StoppedWaiting
            time.sleep(_TICK_S)

    def over(self) -> None:
        """It works; logs so if it did not before."""
        if self._failures:
            _log.info(f"no longer: {self._what}", failures=self._failures)
        self._failures = 0
