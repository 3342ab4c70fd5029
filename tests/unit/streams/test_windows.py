"""Traffic windows, the oldest offsets still needed, and when a window may be published."""

from __future__ import annotations

import asyncio

from schemas.records import Result, TrafficWindow
from streams.oldest_offsets import OldestOffsets, Partition
from streams.traffic import Traffic
from streams.windows import Windows, quantile


def answer(latency_ms: float, status: str = "ok") -> Result:
    return Result(request_id="r", status=status, latency_ms=latency_ms)  # type: ignore[arg-type]


def test_a_window_counts_records_statuses_and_latencies() -> None:
    windows = Windows("search.results", 10)
    for latency in range(1, 101):
        assert windows.add(25, 100, answer(float(latency), "ok" if latency > 3 else "invalid")) == 20
    full = windows.full(20)
    assert (full.start, full.end, full.records) == (20, 30, 100)
    assert full.by_status == {"ok": 97, "invalid": 3}
    assert (full.latency_mean_ms, full.latency_p50_ms, full.latency_p99_ms) == (50.5, 50.0, 99.0)


def test_only_windows_that_ended_are_due_and_a_silent_one_is_too() -> None:
    windows = Windows("t", 10)
    windows.add(5, 100)
    windows.add(38, 100)
    assert windows.due(39) == [0, 20]
    assert windows.full(20).records == 0
    windows.published(20)
    assert windows.due(40) == [0, 30]


def test_what_comes_after_its_window_was_published_is_late() -> None:
    windows = Windows("t", 10, published_until=30)
    assert windows.add(29, 100) is None
    assert windows.add(30, 100) == 30


def test_a_timestamp_in_the_future_counts_as_now() -> None:
    assert Windows("t", 10).add(10**15, 57) == 50


def test_quantiles_of_nothing_are_nothing() -> None:
    assert quantile([], 0.5) is None
    assert quantile([4.0], 0.99) == 4.0


def test_the_oldest_held_record_decides_what_is_committed() -> None:
    oldest, partition = OldestOffsets(), ("t", 0)
    for offset in range(5, 10):
        oldest.mark_processed(partition, offset)
    assert oldest.committable() == {partition: 10}
    oldest.hold(partition, "window", 7)
    oldest.hold(partition, "window", 6)
    oldest.hold(partition, "profile", 8)
    assert oldest.committable() == {partition: 6}
    oldest.release_everywhere("window")
    assert oldest.committable() == {partition: 8}
    oldest.release(partition, "profile")
    assert oldest.committable() == {partition: 10}
    assert not oldest.is_new(partition, 9)


class Standing:
    """A consumer with one partition, its position in it, and the partition's end."""

    def __init__(self, partition: Partition, position: int, end: int | None) -> None:
        self.partition, self.at, self.end = partition, position, end

    def assignment(self) -> set[Partition]:
        return {self.partition}

    def highwater(self, partition: Partition) -> int | None:
        return self.end if partition == self.partition else None

    async def position(self, partition: Partition) -> int | None:
        return self.at if partition == self.partition else None


def published(traffic: Traffic, reader: Standing, now: int) -> list[TrafficWindow]:
    got: list[TrafficWindow] = []

    async def keep(window: TrafficWindow) -> None:
        got.append(window)

    asyncio.run(traffic.publish_due(reader, now, keep))
    return got


def test_a_window_waits_for_records_that_were_read_and_not_looked_at_yet() -> None:
    oldest, partition = OldestOffsets(), ("search.results", 0)
    traffic = Traffic(oldest, ("search.results",), window_s=10.0)
    now = 1_700_000_000_000
    traffic.restart_from({"search.results": now - 30_000}, now)
    oldest.fetched(partition, 5)
    for offset in (4, 5):
        assert published(traffic, Standing(partition, 6, 6), now) == []
        traffic.count(partition, offset, now - 25_000, now, answer(3.0))
        oldest.mark_processed(partition, offset)
    assert [window.records for window in published(traffic, Standing(partition, 6, 6), now)] == [2, 0]


def test_a_window_is_published_when_its_partitions_were_read_to_the_end() -> None:
    oldest, partition = OldestOffsets(), ("search.results", 0)
    traffic = Traffic(oldest, ("search.results",), window_s=10.0)
    now = 1_700_000_000_000
    traffic.restart_from({"search.results": now - 30_000}, now)
    traffic.count(partition, 4, now - 25_000, now, answer(3.0))
    oldest.mark_processed(partition, 4)
    assert published(traffic, Standing(partition, 5, 9), now) == [], (
        "records before the end of the window may still come"
    )
    assert published(traffic, Standing(partition, 5, None), now) == [], "where the partition ends is not known yet"
    assert oldest.committable() == {partition: 4}
    windows = published(traffic, Standing(partition, 9, 9), now + 1000)
    assert [window.records for window in windows] == [1, 0]
    assert oldest.committable() == {partition: 5}
