"""The windows of all topics: counts records, and publishes a window once all its records were read."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiokafka.errors import IllegalStateError

from schemas.records import Result, TrafficWindow
from schemas.topics import BY_NAME
from standfast.core import telemetry
from streams.oldest_offsets import OldestOffsets, Partition
from streams.windows import Windows

# How long after its timestamp a record may arrive to be counted. The consumer's view of a partition's end is up to one
# fetch (0.1 s) old.
_GRACE_MS = 1000

Publish = Callable[[TrafficWindow], Awaitable[None]]


class Reader(Protocol):
    """The part of Faust's consumer that tells partitions, positions and ends."""

    def assignment(self) -> set[Partition]:
        """The partitions being read."""

    def highwater(self, partition: Partition) -> int | None:
        """The partition's high watermark; None while it is not known."""

    async def position(self, partition: Partition) -> int | None:
        """The next offset to fetch."""


class Traffic:
    """Counts by topic and window."""

    def __init__(self, oldest: OldestOffsets, topics: tuple[str, ...], window_s: float) -> None:
        self._oldest = oldest
        self._width_ms = round(window_s * 1000)
        self._windows = {topic: Windows(topic, self._width_ms) for topic in topics}
        self._latest: dict[Partition, int] = {}

    def restart_from(self, published_until: Mapping[str, int], now: int) -> None:
        """Starts windows after those that were published, and after those that retention would delete at once."""
        oldest_kept = now - BY_NAME["traffic"].retention_ms
        self._latest.clear()
        for topic in self._windows:
            until = max(published_until.get(topic, 0), oldest_kept - oldest_kept % self._width_ms)
            self._windows[topic] = Windows(topic, self._width_ms, until)

    def count(self, source: Partition, offset: int, at: int, now: int, answer: Result | None = None) -> None:
        """Counts one record and holds it until its window is published."""
        self._latest[source] = max(at, self._latest.get(source, 0))
        start = self._windows[source[0]].add(at, now, answer)
        if start is not None:
            self._oldest.hold(source, (source[0], start), offset)

    async def publish_due(self, reader: Reader, now: int, publish: Publish) -> None:
        """Publishes every window that ended and of which all records were read."""
        for topic, windows in list(self._windows.items()):
            for start in windows.due(now - _GRACE_MS):
                end = start + self._width_ms
                if await self.read_until(reader, topic, end) < end:
                    break
                await self._publish(windows, start, publish)

    async def read_until(self, reader: Reader, topic: str, enough: float = math.inf) -> float:
        """The time up to which all records of a topic were read, epoch milliseconds; infinity: to its present end.

        Partitions that are read up to `enough` are not asked further.
        """
        assigned = [partition for partition in reader.assignment() if partition[0] == topic]
        behind = [partition for partition in assigned if self._latest.get(partition, 0) < enough]
        at_end = await asyncio.gather(*(_at_the_end(reader, partition) for partition in behind))
        times = [
            self._latest.get(partition, 0)
            for partition, ended in zip(behind, at_end, strict=True)
            if not (ended and self._oldest.is_caught_up(partition))
        ]
        return min(times, default=math.inf) if assigned else -math.inf

    async def _publish(self, windows: Windows, start: int, publish: Publish) -> None:
        window_record, epoch = windows.full(start), self._oldest.epoch
        await publish(window_record)
        windows.published(start)
        if self._oldest.epoch == epoch:
            self._oldest.release_everywhere((windows.topic, start))
        telemetry.WINDOW_RECORDS.labels(windows.topic).set(window_record.records)
        if windows.topic.endswith(".results"):
            for quantile, value in (("0.5", window_record.latency_p50_ms), ("0.99", window_record.latency_p99_ms)):
                seconds = float("nan") if value is None else value / 1000
                telemetry.WINDOW_LATENCY.labels(windows.topic, quantile).set(seconds)


async def _at_the_end(reader: Reader, partition: Partition) -> bool:
    """Compares positions, not offsets of records, because a transaction's marker follows its last record."""
    try:
        end, position = reader.highwater(partition), await reader.position(partition)
    except IllegalStateError:  # not assigned any more, such as when its topic was deleted
        return False
    return end is not None and position is not None and position >= end
