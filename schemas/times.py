"""The time of a record, by its timestamp if that is plausible."""

from __future__ import annotations

import time

# A timestamp before 2011, when Kafka was released, is missing or wrong: -1 where a client sends none, 0 where it sends
# the epoch, or seconds instead of milliseconds. Clocks and time zones differ by less than a day; a timestamp that is
# further ahead would stay the newest for years.
_FIRST_MS = 1_293_840_000_000
_AHEAD_MS = 24 * 3_600_000


def record_ms(timestamp_ms: int) -> int:
    """The record's timestamp, or now if that is not plausible: such a record counts as written when it is read."""
    now = time.time_ns() // 1_000_000
    return timestamp_ms if _FIRST_MS <= timestamp_ms <= now + _AHEAD_MS else now
