"""Lag counts unanswered requests: no transaction markers, and it is 0 for a partition that never had a record."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from consumers.serving.partition_reader import PartitionReader
from standfast.core import clients
from standfast.core.settings import KafkaSettings, Settings
from tests.waiting import wait_until


@pytest.fixture
def settings(broker: str, unique: str) -> Settings:
    admin = AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(unique, 2, 1)])[unique].result(30)
    return Settings(kafka=KafkaSettings(bootstrap_servers=broker))


@pytest.fixture
def reader(settings: Settings, unique: str) -> Iterator[PartitionReader]:
    consumer = Consumer(clients.worker(settings, unique, "lag-0", "lag-s0"))
    made = PartitionReader(consumer, unique, 100, lambda _gone, _lost: None, lambda: None, lambda _: None)
    made.join()
    yield made
    consumer.close()


def lags(reader: PartitionReader) -> dict[int, int]:
    """The lag of each partition after one poll."""
    reader.fill(0.05)
    return {partition: lag for (_, partition), lag in reader.lags().items()}


def produce(settings: Settings, topic: str, transactions: int, records: int) -> None:
    producer = Producer(clients.transactional(settings, "lag", f"{topic}-writer"))
    producer.init_transactions(30)
    for _ in range(transactions):
        producer.begin_transaction()
        for _ in range(records):
            producer.produce(topic, b"x", partition=0)
        producer.commit_transaction(30)


def test_an_empty_partition_is_known_to_have_none(reader: PartitionReader) -> None:
    wait_until(lambda: lags(reader) == {0: 0, 1: 0}, what="two partitions without lag")


def test_markers_are_not_counted_and_what_waits_for_a_batch_is(
    reader: PartitionReader, settings: Settings, unique: str
) -> None:
    wait_until(lambda: len(reader.owned) == 2 or reader.fill(0.05), what="two partitions")  # type: ignore[func-returns-value]
    produce(settings, unique, transactions=3, records=4)
    wait_until(lambda: lags(reader) == {0: 12, 1: 0}, what="twelve requests that wait")
    reader.waiting.clear()
    wait_until(lambda: lags(reader) == {0: 0, 1: 0}, what="no lag, three markers behind the last record")
