"""Counts records and latencies of each topic in tumbling windows of record time.

No state is stored: the records of a window that was not published stay uncommitted and are read again. A window is
published once; after a restart, windows begin where the last one in `traffic` ends.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field

from schemas.records import Result, TrafficWindow


@dataclass(slots=True)
class _Open:
    records: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    latencies: array[float] = field(default_factory=lambda: array("d"))  # a list of floats takes four times the memory


class Windows:
    """The windows of one topic that are not published yet.

    Args:
        topic: as it is called in the topic table.
        width_ms: length of a window; windows start at multiples of it.
        published_until: epoch milliseconds; records before it were counted by an earlier process, or come too late.
    """

    def __init__(self, topic: str, width_ms: int, published_until: int = 0) -> None:
        self.topic = topic
        self._width = width_ms
        self._until = published_until
        self._open: dict[int, _Open] = {}

    def add(self, timestamp: int, now: int, answer: Result | None = None) -> int | None:
        """Counts one record and returns its window's start; None if that window was published already.

        A timestamp in the future counts as now: a caller's wrong clock must not keep a window open for ever.
        """
        moment = min(timestamp, now)
        start = moment - moment % self._width
        if start < self._until:
            return None
        window = self._open.setdefault(start, _Open())
        window.records += 1
        if answer is not None:
            window.by_status[answer.status] += 1
            if math.isfinite(answer.latency_ms):
                window.latencies.append(answer.latency_ms)
        return start

    def due(self, now: int) -> list[int]:
        """Starts of the windows that ended by `now` and were not published, oldest first.

        The last one is among them even without records, so that a topic without traffic has windows too.
        """
        last = now - now % self._width - self._width
        starts = {start for start in self._open if start <= last}
        return sorted(starts | ({last} if last >= self._until else set()))

    def full(self, start: int) -> TrafficWindow:
        """The window as a record."""
        window = self._open.get(start, _Open())
        latencies = sorted(window.latencies)
        return TrafficWindow(
            topic=self.topic,
            start=start,
            end=start + self._width,
            records=window.records,
            by_status=dict(window.by_status),
            latency_mean_ms=math.fsum(latencies) / len(latencies) if latencies else None,
            latency_p50_ms=quantile(latencies, 0.5),
            latency_p99_ms=quantile(latencies, 0.99),
        )

    def published(self, start: int) -> None:
        """The window was written to `traffic`: forgets it, and ignores records that come for it later."""
        self._open.pop(start, None)
        self._until = max(self._until, start + self._width)


def quantile(ordered: list[float], share: float) -> float | None:
    """The nearest-rank quantile of ascending values; None without values."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
