"""Records that Kafka deleted before they were read: every reader logs their offsets and counts them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from consumers.profiles.follower import Follower
from consumers.serving.partition_reader import PartitionReader
from drills.control.reader import Control
from schemas.codec import Codec
from standfast.core import clients, telemetry
from standfast.core.settings import KafkaSettings, Settings
from tests.support.shop import PARTITIONS, ShopSystem
from tests.waiting import wait_until

DELETED = "records were deleted before they were read"
OffsetRanges = list[tuple[int, int, int]]


class ShortenedTopic:
    """A topic with two partitions, of which a test can delete the first records."""

    def __init__(self, broker: str, prefix: str, name: str) -> None:
        self.settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=prefix))
        self.name = prefix + name
        self.admin = AdminClient(clients.base(self.settings, "test"))
        self.admin.create_topics([NewTopic(self.name, 2, 1)])[self.name].result(30)
        self._producer = Producer(clients.producer(self.settings, "test"))

    def write(self, count: int, partition: int = 0) -> None:
        """Writes `count` records."""
        for _ in range(count):
            self._producer.produce(self.name, b"none", partition=partition)
        assert self._producer.flush(30) == 0

    def delete(self, before: int, partition: int = 0) -> None:
        """Deletes all records before an offset."""
        end = TopicPartition(self.name, partition, before)
        for done in self.admin.delete_records([end]).values():
            done.result(30)

    def counted(self) -> float:
        """The metric's count of deleted records of this topic."""
        return telemetry.DELETED_UNREAD.labels(self.name)._value.get()  # type: ignore[no-any-return]


class WorkerReader:
    """A worker's `PartitionReader` on a topic."""

    def __init__(self, topic: ShortenedTopic, group: str) -> None:
        self.consumer = Consumer(clients.worker(topic.settings, group, "worker-0", "slot-0"))
        self.reader = PartitionReader(
            self.consumer, topic.name, 1000, lambda _gone, _lost: None, lambda: None, lambda _: None
        )
        self.reader.join()

    def until(self, offset: int, partition: int = 0) -> None:
        """Reads until the record at this offset, the last of its partition, was read."""

        def is_read() -> bool:
            self.reader.fill(0.05)
            return any((record.partition, record.offset) == (partition, offset) for record in self.reader.waiting)

        wait_until(is_read, 30, what=f"offset {offset} read")


@pytest.fixture
def topic(broker: str, unique: str) -> ShortenedTopic:
    return ShortenedTopic(broker, f"{unique}.", "requests")


@pytest.fixture
def reading(topic: ShortenedTopic, unique: str) -> Iterator[Callable[[], WorkerReader]]:
    made: list[WorkerReader] = []

    def begun() -> WorkerReader:
        made.append(WorkerReader(topic, unique))
        return made[-1]

    yield begun
    for opened in made:
        opened.consumer.close()


def deletions(lines: list[Any], topic: str) -> OffsetRanges:
    """Partition, first and last offset in each warning about the topic."""
    assert all(line["log_level"] == "warning" for line in lines if line["event"] == DELETED)
    about_topic = [line for line in lines if line["event"] == DELETED and line["topic"] == topic]
    return [(line["partition"], line["from_offset"], line["to_offset"]) for line in about_topic]


def test_a_worker_tells_what_was_deleted_while_it_lived(
    topic: ShortenedTopic, reading: Callable[[], WorkerReader]
) -> None:
    topic.write(3)
    worker = reading()
    worker.until(2)
    worker.consumer.pause([TopicPartition(topic.name, 0)])
    topic.write(4)
    topic.delete(5)
    worker.consumer.resume([TopicPartition(topic.name, 0)])
    with structlog.testing.capture_logs() as lines:
        worker.until(6)
    assert deletions(lines, topic.name) == [(0, 3, 4)]
    assert topic.counted() == 2


def test_a_worker_tells_what_was_deleted_up_to_the_end(
    topic: ShortenedTopic, reading: Callable[[], WorkerReader]
) -> None:
    """No record follows the deleted ones."""
    topic.write(3, partition=1)
    topic.delete(3, partition=1)
    worker = reading()
    with structlog.testing.capture_logs() as lines:
        wait_until(lambda: worker.reader.fill(0.05) or deletions(lines, topic.name), 30, what="a line")  # type: ignore[func-returns-value]
    assert deletions(lines, topic.name) == [(1, 0, 2)]


def test_a_worker_tells_what_was_deleted_before_its_group_had_committed(
    topic: ShortenedTopic, reading: Callable[[], WorkerReader]
) -> None:
    """Without a committed offset the client starts at the first record that is left, and logs no offset reset."""
    topic.write(4)
    topic.delete(3)
    worker = reading()
    with structlog.testing.capture_logs() as lines:
        worker.until(3)
    assert deletions(lines, topic.name) == [(0, 0, 2)]
    assert topic.counted() == 3


def test_what_the_client_was_reset_over_before_its_group_had_committed_is_told_once(
    topic: ShortenedTopic, reading: Callable[[], WorkerReader]
) -> None:
    """It had begun at offset 0, and was reset when that was gone: the log and the metric had it twice."""
    topic.write(4)
    topic.delete(3)
    worker = reading()
    worker.reader._unread.note(0, 0)
    with structlog.testing.capture_logs() as lines:
        worker.until(3)
    assert deletions(lines, topic.name) == [(0, 0, 2)]
    assert topic.counted() == 3


def test_a_successor_tells_what_was_deleted_behind_the_committed_offset(
    topic: ShortenedTopic, reading: Callable[[], WorkerReader]
) -> None:
    topic.write(8)
    first = reading()
    first.until(7)
    first.consumer.commit(offsets=[TopicPartition(topic.name, 0, 4)], asynchronous=False)
    first.consumer.close()
    topic.delete(6)
    second = reading()
    with structlog.testing.capture_logs() as lines:
        second.until(7)
    assert deletions(lines, topic.name) == [(0, 4, 5)]
    assert [record.offset for record in second.reader.waiting] == [6, 7]


def test_what_was_read_before_it_was_deleted_is_not_told(
    topic: ShortenedTopic, reading: Callable[[], WorkerReader]
) -> None:
    topic.write(4)
    worker = reading()
    worker.until(3)
    topic.delete(4)
    topic.write(1)
    with structlog.testing.capture_logs() as lines:
        worker.until(4)
    assert deletions(lines, topic.name) == []


def test_the_drill_runner_tells_of_commands(broker: str, unique: str) -> None:
    topic = ShortenedTopic(broker, f"{unique}.", "drills.control")
    topic.write(3)
    topic.delete(2)
    control = Control(topic.settings, lambda: False)
    control.open()
    with structlog.testing.capture_logs() as lines:
        message = wait_until(lambda: control.next(0.1), 30, what="a command")
    assert (message.offset(), deletions(lines, topic.name)) == (2, [(0, 0, 1)])
    control.close()


def test_the_follower_of_profiles_tells_of_them(broker: str, unique: str, tmp_path: Path) -> None:
    topic = ShortenedTopic(broker, f"{unique}.", "profiles")
    topic.write(3)
    topic.delete(2)
    stop = threading.Event()
    follower = threading.Thread(target=Follower(topic.settings, Codec(), tmp_path, stop).run)
    with structlog.testing.capture_logs() as lines:
        follower.start()
        try:
            wait_until(lambda: deletions(lines, topic.name), 30, what="a line")
        finally:
            stop.set()
            follower.join()
    assert deletions(lines, topic.name) == [(0, 0, 1)]


def test_the_stream_processor_tells_of_interactions(
    broker: str, unique: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shop = ShopSystem(broker, f"{unique}.", tmp_path)
    topics = [f"{unique}.interactions", f"{unique}.search.requests"]
    admin = AdminClient(clients.base(shop.settings, "test"))
    for topic in topics:
        for _ in range(3):
            shop.producer.produce(topic, b"{}", partition=PARTITIONS - 1)
        assert shop.producer.flush(30) == 0
        for done in admin.delete_records([TopicPartition(topic, PARTITIONS - 1, 2)]).values():
            done.result(30)
    text: list[str] = []

    def heard() -> dict[str, tuple[int, int, int]]:
        text.append(capfd.readouterr().err)
        lines = [
            json.loads(line) for line in "".join(text).splitlines(keepends=True) if DELETED in line and "}\n" in line
        ]
        return {line["topic"]: (line["partition"], line["from_offset"], line["to_offset"]) for line in lines}

    try:
        shop.start()
        reported = wait_until(lambda: len(seen := heard()) == len(topics) and seen, 90, every=0.2, what="two lines")
    finally:
        shop.kill()
    assert reported == dict.fromkeys(topics, (PARTITIONS - 1, 0, 1))
