"""How the stream processor reports deleted offsets; Faust's check of a partition without a position does no harm."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from aiokafka.errors import IllegalStateError
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver

from streams import transport, unread

PARTITION = TopicPartition("interactions", 1)


class Consumer:
    """A consumer whose `position` returns an offset or raises an error."""

    def __init__(self, position: int | Exception) -> None:
        self._position = position

    async def position(self, _partition: TopicPartition) -> int:
        if isinstance(self._position, Exception):
            raise self._position
        return self._position


def ranges(watcher: unread.UnreadByStream, consumer: Consumer, records: dict[Any, Any]) -> list[tuple[int, int]]:
    with structlog.testing.capture_logs() as lines:
        asyncio.run(watcher.read(consumer, records))
    return [(line["from_offset"], line["to_offset"]) for line in lines]


@pytest.fixture
def watcher() -> Any:
    made = unread.UnreadByStream()
    yield made
    logging.getLogger("aiokafka.consumer.fetcher").removeFilter(made)


def gone(offset: int) -> None:
    """Logs an offset reset as aiokafka does."""
    fetcher = logging.getLogger("aiokafka.consumer.fetcher")
    fetcher.info("Fetch offset %s is out of range for partition %s, resetting offset", offset, PARTITION)


def test_what_is_missing_ends_where_the_next_record_is(
    watcher: unread.UnreadByStream, caplog: pytest.LogCaptureFixture
) -> None:
    gone(3)
    assert ranges(watcher, Consumer(9), {PARTITION: [SimpleNamespace(offset=7)]}) == [(3, 6)]
    assert ranges(watcher, Consumer(9), {}) == []
    assert caplog.records == [], "aiokafka's own line is not shown beside ours"


def test_without_a_record_it_ends_at_the_position(watcher: unread.UnreadByStream) -> None:
    gone(3)
    assert ranges(watcher, Consumer(9), {}) == [(3, 8)]


def test_while_kafka_is_away_it_waits(watcher: unread.UnreadByStream) -> None:
    gone(3)
    assert ranges(watcher, Consumer(TimeoutError()), {}) == []
    assert ranges(watcher, Consumer(9), {}) == [(3, 8)]


def test_a_partition_that_was_given_up_is_left_to_who_has_it(watcher: unread.UnreadByStream) -> None:
    gone(3)
    assert ranges(watcher, Consumer(IllegalStateError()), {}) == []
    assert ranges(watcher, Consumer(9), {}) == []


def test_faust_looking_at_a_partition_without_a_position_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust checks every 2.5 s, and while an offset is reset the partition has no position."""

    def looked(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "verify_event_path", looked)
    thread = transport._ConsumerThread.__new__(transport._ConsumerThread)
    thread.verify_event_path(0.0, PARTITION)
