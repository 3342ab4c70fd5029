"""Keeps the libraries below Faust from saying the same thing ten times a second while Kafka is away."""

from __future__ import annotations

import logging
import time

_EVERY_S = 10.0


class Seldom(logging.Filter):
    """Lets each kind of line of a library through once in a while; a kind is a logger, a level and a template."""

    def __init__(self, every_s: float = _EVERY_S) -> None:
        super().__init__()
        self._every_s = every_s
        self._last: dict[tuple[str, int, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be shown."""
        kind, now = (record.name, record.lineno, str(record.msg)[:40]), time.monotonic()
        if now - self._last.get(kind, -self._every_s) < self._every_s:
            return False
        self._last[kind] = now
        return True


def quieten() -> None:
    """Puts the filter on every handler there is; call after logging was configured."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(Seldom())
