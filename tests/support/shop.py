"""A small system for stream tests: its topics, a producer, readers of its topics, and its stream processor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.codec import Codec, Encoding
from schemas.records import Interaction, Profile
from standfast import topics
from standfast.core import clients
from standfast.core.settings import KafkaSettings, Settings

CODEC = Codec()
PARTITIONS = 3


class ShopSystem:
    """Topics under one prefix, and a stream processor that runs `module` once `start` is called."""

    def __init__(self, broker: str, prefix: str, home: Path, module: str = "streams") -> None:
        self.prefix = prefix
        self.home = home
        self._module = module
        kafka = KafkaSettings(bootstrap_servers=broker, topic_prefix=prefix, partitions=PARTITIONS)
        self.settings = Settings(kafka=kafka)
        topics.apply(AdminClient(clients.base(self.settings, "test")), kafka)
        self.producer = Producer(clients.producer(self.settings, "test"))
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **os.environ,
            "STANDFAST_HOME": str(home),
            "STANDFAST_KAFKA__BOOTSTRAP_SERVERS": broker,
            "STANDFAST_KAFKA__TOPIC_PREFIX": prefix,
            "STANDFAST_STREAM__WINDOW_S": "1",
        }

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", self._module], env=self._environment)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def send(self, value: bytes, topic: str = "interactions", key: str | None = None) -> None:
        self.producer.produce(self.prefix + topic, value=value, key=key)
        self.producer.poll(0)

    def buy(
        self, user: str, item: str, encoding: Encoding = Encoding.JSON, key: str | None = None, at: int | None = None
    ) -> None:
        purchase = Interaction(user_id=user, item_id=item, event="purchase", timestamp=at)
        self.send(CODEC.encode(purchase, encoding), key=key or user)

    def read(self, topic: str, partitions: int = PARTITIONS) -> Reading:
        return Reading(self.settings, self.prefix + topic, partitions)


class Reading:
    """All records of one topic so far; `seen` keeps them."""

    def __init__(self, settings: Settings, topic: str, partitions: int) -> None:
        self._consumer = Consumer(clients.consumer(settings, "test", "nobody", **{"fetch.wait.max.ms": 20}))
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        self.seen: list[Message] = []

    def more(self) -> list[Message]:
        self.seen += [message for message in self._consumer.consume(1000, timeout=0.02) if message.error() is None]
        return self.seen

    def items_of(self, user: str) -> list[str]:
        """The items in the last profile of this user; none if the profile was deleted."""
        mine = [message for message in self.more() if message.key() == user.encode()]
        return (
            [seen.item_id for seen in CODEC.decode(mine[-1].value(), Profile)[0].items]
            if mine and mine[-1].value()
            else []
        )

    def close(self) -> None:
        self._consumer.close()
