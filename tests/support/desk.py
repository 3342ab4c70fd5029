"""A plain Kafka client for tests: sends any bytes, keys and headers, and reads every record of a topic."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from standfast.core import clients
from standfast.core.settings import Settings
from tests.waiting import wait_until

WAIT_S = 60.0  # bounds each call to Kafka and each wait for its effect
Header = tuple[str, bytes | None]


class TopicReader(AbstractContextManager["TopicReader"]):
    """Reads all partitions of a topic, from their end or from their beginning, with read_committed."""

    def __init__(self, settings: Settings, topic: str, *, from_the_start: bool = False) -> None:
        self.messages: list[Message] = []
        self._consumer = Consumer(clients.follower(settings, "reader"))
        metadata = self._consumer.list_topics(topic, timeout=30).topics[topic]
        partitions = [TopicPartition(topic, number) for number in metadata.partitions]
        for partition in partitions:
            partition.offset = both_ends(self._consumer, partition)[0 if from_the_start else 1]
        self._consumer.assign(partitions)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def until(self, wanted: Callable[[Message], bool], timeout: float = WAIT_S) -> Message:
        """The first message for which `wanted` is true; fails after `timeout` seconds. Keeps every message it reads."""
        deadline = time.monotonic() + timeout
        looked = 0
        while True:
            for message in self.messages[looked:]:
                if wanted(message):
                    return message
            looked = len(self.messages)
            assert time.monotonic() < deadline, f"not among {looked} messages after {timeout} s"
            self.read(0.1)

    def read(self, timeout: float) -> list[Message]:
        """The messages that come within `timeout` seconds, at most 500."""
        fresh = [message for message in self._consumer.consume(500, timeout) if message.error() is None]
        self.messages.extend(fresh)
        return fresh

    def answer(self, request_id: str) -> dict[str, object]:
        """The JSON answer to a request."""
        fields: dict[str, object] = json.loads(self.until(is_answer_to(request_id)).value())
        return fields


class Desk:
    """Sends records to topics of one system, and creates, changes and deletes its topics."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._producer = Producer(clients.producer(settings, "desk"))
        self._admin = AdminClient(clients.base(settings, "desk"))

    def topic(self, name: str) -> str:
        """The full name of a topic, with the prefix."""
        return self.settings.kafka.topic_prefix + name

    def reader(self, name: str) -> TopicReader:
        """A reader of a topic, from its present end."""
        return TopicReader(self.settings, self.topic(name))

    def send(
        self,
        name: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[Header] = (),
        partition: int = -1,
    ) -> tuple[int, int]:
        """The partition and offset of the record, once Kafka has it. Raises RefusedByKafka if Kafka refuses it."""
        positions: list[tuple[int, int]] = []
        errors: list[KafkaError] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                positions.append((message.partition(), message.offset()))
            else:
                errors.append(error)

        def is_accepted() -> bool:
            """False if the producer does not know the partition yet: it learns of a new one with its next metadata."""
            try:
                self._producer.produce(self.topic(name), value, key, partition, delivered, headers=list(headers))
            except KafkaException as refused:
                if refused.args[0].code() != KafkaError._UNKNOWN_PARTITION:
                    raise
                self._producer.list_topics(self.topic(name), WAIT_S)
                return False
            return True

        wait_until(is_accepted, WAIT_S, what=f"a producer that knows partition {partition} of {name}")
        assert self._producer.flush(WAIT_S) == 0
        if errors:
            raise RefusedByKafka(errors[0].name())
        return positions[0]

    def create(self, name: str, partitions: int, **config: str) -> None:
        """Creates a topic and waits for its leaders. `config` are topic settings, with underscores for dots."""
        topic_config = {key.replace("_", "."): value for key, value in config.items()}
        for done in self._admin.create_topics(
            [NewTopic(self.topic(name), partitions, 1, config=topic_config)]
        ).values():
            done.result(WAIT_S)
        wait_until(lambda: self._has(name, partitions), WAIT_S, what=f"the topic {name}")

    def grow(self, name: str, partitions: int) -> None:
        """Adds partitions to a topic, up to `partitions` in all, and waits for their leaders."""
        for done in self._admin.create_partitions([NewPartitions(self.topic(name), partitions)]).values():
            done.result(WAIT_S)
        wait_until(lambda: self._has(name, partitions), WAIT_S, what=f"{partitions} partitions of {name}")

    def delete(self, name: str) -> None:
        """Deletes a topic and waits until it is gone."""
        for done in self._admin.delete_topics([self.topic(name)]).values():
            done.result(WAIT_S)
        wait_until(lambda: self._has(name, 0), WAIT_S, what=f"the end of {name}")

    def _has(self, name: str, partitions: int) -> bool:
        metadata = self._admin.list_topics(timeout=WAIT_S).topics.get(self.topic(name))
        led = (
            [partition for partition in metadata.partitions.values() if partition.leader >= 0]
            if metadata is not None
            else []
        )
        return len(led) == partitions

    def configure(self, name: str, **config: str) -> None:
        """Sets a topic's configuration: `max_message_bytes="5"` sets `max.message.bytes`."""
        entry = [
            ConfigEntry(key.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
            for key, value in config.items()
        ]
        resources = [ConfigResource(ResourceType.TOPIC, self.topic(name), incremental_configs=entry)]
        for done in self._admin.incremental_alter_configs(resources).values():
            done.result(WAIT_S)


class RefusedByKafka(Exception):
    """Kafka refused a record; the message is the name of the error."""


def both_ends(consumer: Consumer, partition: TopicPartition) -> tuple[int, int]:
    """The low and high watermark of a partition. Tries for `WAIT_S`, as a new partition may have no leader yet."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            ends: tuple[int, int] = consumer.get_watermark_offsets(partition, timeout=WAIT_S)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return ends


def is_answer_to(request_id: str) -> Callable[[Message], bool]:
    """Whether a message is the JSON answer to that request."""
    return lambda message: b'"request_id":"%b"' % request_id.encode() in (message.value() or b"")


def has(header: str, value: bytes) -> Callable[[Message], bool]:
    """Whether a message has that header."""
    return lambda message: (header, value) in (message.headers() or [])
