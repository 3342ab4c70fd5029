"""Limits how often a library logs the same line: while Kafka is away, those below Faust do ten times a second."""

from __future__ import annotations

import logging
import time

_EVERY_S = 10.0


class RateLimitFilter(logging.Filter):
    """Passes each kind of line once in `every_s`; a kind is a logger, a level and a message template."""

    def __init__(self, every_s: float = _EVERY_S) -> None:
        super().__init__()
        self._every_s = every_s
        self._last: dict[tuple[str, int, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is shown."""
        kind, now = (record.name, record.lineno, str(record.msg)[:40]), time.monotonic()
        if now - self._last.get(kind, -self._every_s) < self._every_s:
            return False
        self._last[kind] = now
        return True


def quieten() -> None:
    """Adds the filter to every handler of the root logger; call it after logging was configured."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(RateLimitFilter())
