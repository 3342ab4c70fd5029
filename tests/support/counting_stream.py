"""The stream processor, which writes to the file `held` in its state folder how much it held in memory at most.

Run as `python -m tests.support.counting_stream`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import msgspec
from aiokafka.consumer.fetcher import FetchResult
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from standfast.core.home import home
from streams import __main__ as streams
from streams.oldest_offsets import OldestOffsets
from streams.unpacking import RecordBatches


class MostHeld(msgspec.Struct):
    """Maxima: records that were decoded but not processed yet, and bytes fetched but not decoded yet."""

    records: int = 0
    bytes: int = 0


class Counting:
    """Counts at each fetch. Two threads count, each in its own attribute, so that no lock is needed."""

    def __init__(self) -> None:
        self._read = 0
        self._looked_at = 0
        self._most = MostHeld()

    def install(self) -> None:
        """Patches aiokafka and `OldestOffsets`, so that everything read and processed in this process is counted."""
        AIOKafkaConsumerThread._fetch_records = self._reading(AIOKafkaConsumerThread._fetch_records)
        OldestOffsets.mark_processed = self._looking(OldestOffsets.mark_processed)  # type: ignore[method-assign]

    def _reading(self, fetch: Callable[..., Any]) -> Callable[..., Any]:
        async def fetching(thread: Any, consumer: Any, *args: Any, **named: Any) -> Any:
            ahead = _bytes(consumer._fetcher._records.values())
            records = await fetch(thread, consumer, *args, **named)
            self._read += sum(map(len, records.values()))
            self._note(MostHeld(self._read - self._looked_at, ahead))
            return records

        return fetching

    def _looking(self, mark_processed: Callable[..., None]) -> Callable[..., None]:
        def looking(oldest: OldestOffsets, *args: Any) -> None:
            self._looked_at += 1
            mark_processed(oldest, *args)

        return looking

    def _note(self, now: MostHeld) -> None:
        self._most = MostHeld(max(self._most.records, now.records), max(self._most.bytes, now.bytes))
        fresh = home() / "held.new"
        fresh.write_bytes(msgspec.json.encode(self._most))
        fresh.replace(home() / "held")


def _bytes(read: Any) -> int:
    """Bytes of the batches that aiokafka has fetched, as they came from Kafka, and has not unpacked yet."""
    kept = [
        result._partition_records._records for result in read if isinstance(result, FetchResult) and result.has_more()
    ]
    return sum(batches.size_in_bytes() for batches in kept if isinstance(batches, RecordBatches))


if __name__ == "__main__":
    Counting().install()
    status = streams.main()
    os._exit(status)
