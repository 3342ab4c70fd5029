"""How a reader reports deleted offsets after its client has logged an offset reset: one line with the whole range."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from standfast.core import deleted

TOPIC = "search.requests"
GONE = "fetch failed due to requested offset not available on the broker: Broker: Offset out of range"
TEMPLATE = "%s [%s] %s"  # as confluent-kafka calls its logger


def client_logs(offset: int, partition: int = 1, topic: str = TOPIC, to: str = "BEGINNING (leader epoch -1)") -> None:
    """Logs an offset reset as librdkafka does."""
    at = f"at offset {offset} (leader epoch 0), broker 1"
    text = f"[thrd:main]: {topic} [{partition}]: offset reset ({at}) to offset {to}: {GONE}"
    deleted.ClientLog().log(logging.WARNING, TEMPLATE, "OFFSET", "search-0@s0#consumer-4", text)


def message(offset: int | None, partition: int | None = 1, error: int | None = None) -> Message:
    refused = None if error is None else KafkaError(error)
    return cast(Message, SimpleNamespace(error=lambda: refused, partition=lambda: partition, offset=lambda: offset))


class Ends:
    """A consumer that knows the watermarks of the partition: 0 and `end`; None: Kafka does not answer."""

    def __init__(self, end: int | None = 100, *, start: int = 0, committed: int | None = -1001) -> None:
        self._end = end
        self._start = start
        self._committed = committed
        self.asked = 0

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        assert timeout < 1
        self.asked += 1
        if self._committed is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return [TopicPartition(place.topic, place.partition, self._committed) for place in places]

    def get_watermark_offsets(
        self, _partition: object, timeout: float = 0.0, *, cached: bool = False
    ) -> tuple[int, int]:
        if cached:
            return self._start, -1
        assert timeout < 1
        if self._end is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return 0, self._end


def read(unread: deleted.Unread, *messages: Message, consumer: Ends | None = None) -> list[Any]:
    """The events that the reader logs, each with its first and last offset."""
    with structlog.testing.capture_logs() as lines:
        unread.read(cast(Consumer, consumer or Ends()), messages)
    return [(line["event"], line.get("from_offset"), line.get("to_offset")) for line in lines]


DELETED = "records were deleted before they were read"


@pytest.mark.parametrize("consumer", [Ends(), Ends(None)], ids=["kafka answers", "kafka does not"])
def test_the_next_message_says_where_what_is_gone_ends(consumer: Ends, caplog: pytest.LogCaptureFixture) -> None:
    unread = deleted.Unread(TOPIC)
    client_logs(3)
    assert read(unread, message(2), message(50, partition=0), consumer=consumer) == [], (
        "read ahead before, or another's"
    )
    assert read(unread, message(7), message(8), consumer=consumer) == [(DELETED, 3, 6)]
    assert read(unread, message(20), consumer=consumer) == []
    assert caplog.records == [], "the client's own line is not shown beside ours"


def test_the_end_of_the_partition_says_it_too_and_an_error_does_not() -> None:
    unread = deleted.Unread(TOPIC)
    client_logs(0)
    assert (
        read(unread, message(None, None, KafkaError.UNKNOWN_TOPIC_OR_PART), message(9, 1, KafkaError._ALL_BROKERS_DOWN))
        == []
    )
    assert read(unread, message(5, 1, KafkaError._PARTITION_EOF)) == [(DELETED, 0, 4)]


def test_what_is_gone_twice_is_told_once_from_the_first() -> None:
    unread = deleted.Unread(TOPIC)
    client_logs(3)
    client_logs(6)
    assert read(unread, message(9)) == [(DELETED, 3, 8)]


def test_an_offset_beyond_the_end_is_no_deletion() -> None:
    unread = deleted.Unread(TOPIC)
    client_logs(300)
    events = read(unread, message(0))
    assert events == [("an offset is beyond the end; its partition is read from its beginning", None, None)]
    assert read(unread, message(400)) == []


def test_of_a_partition_that_was_given_up_nothing_is_told() -> None:
    unread = deleted.Unread(TOPIC)
    client_logs(3)
    unread.forget({1})
    client_logs(3)
    assert read(unread, message(2)) == []
    unread.forget({1})
    assert read(unread, message(9)) == []


def test_what_nobody_here_reads_stays_a_line_of_the_client(caplog: pytest.LogCaptureFixture) -> None:
    unread = deleted.Unread(TOPIC)
    client_logs(3, topic="others")
    client_logs(3, to="END")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert read(unread, message(9)) == []


def test_a_reader_whose_group_has_committed_nothing_tells_what_was_deleted_before_it_came() -> None:
    late = Ends(start=7)
    unread = deleted.Unread(TOPIC)
    unread.begin({1, 2})
    assert read(unread, message(7), message(8), message(7, partition=2), consumer=late) == [
        (DELETED, 0, 6),
        (DELETED, 0, 6),
    ]
    assert read(unread, message(9), consumer=late) == []
    assert late.asked == 2, "once for each partition"


@pytest.mark.parametrize(
    ("kafka", "first", "asked"),
    [
        (Ends(start=0), 0, 0),
        (Ends(start=3), 9, 0),
        (Ends(start=9, committed=9), 9, 1),
        (Ends(start=9, committed=None), 9, 1),
    ],
    ids=["from the start", "beyond the first that is left", "committed just there", "Kafka does not answer"],
)
def test_a_reader_that_goes_on_where_its_group_was_tells_nothing(kafka: Ends, first: int, asked: int) -> None:
    unread = deleted.Unread(TOPIC)
    unread.begin({1})
    assert DELETED not in {event for event, *_ in read(unread, message(first), consumer=kafka)}
    assert kafka.asked == asked


def test_a_partition_that_is_given_up_before_its_first_record_is_the_next_ones_to_tell() -> None:
    late = Ends(start=7)
    unread = deleted.Unread(TOPIC)
    unread.begin({1})
    unread.forget({1})
    assert read(unread, message(7), consumer=late) == []
    assert late.asked == 0
