"""When a record was written, as far as its timestamp can be believed."""

from __future__ import annotations

import time

# A time before there was Kafka (2011) is the want of one: -1 where a client sends none, 0 where it sends the epoch,
# seconds where it is wrong. A day is more than clocks and time zones differ by; what is further ahead would stay the
# newest of all, for years.
_FIRST_MS = 1_293_840_000_000
_AHEAD_MS = 24 * 3_600_000


def record_ms(timestamp_ms: int) -> int:
    """The record's timestamp, or now where it says nothing: such a record counts as new when it is read."""
    now = time.time_ns() // 1_000_000
    return timestamp_ms if _FIRST_MS <= timestamp_ms <= now + _AHEAD_MS else now
