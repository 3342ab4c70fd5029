"""The follower of `profiles` on a real Kafka: its store has what the topic has, after damage to either."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from consumers.profiles.follower import Follower
from consumers.requests.histories import Known, ProfileHistories
from schemas.codec import Codec, Encoding
from schemas.records import Profile, Seen
from standfast.core import clients
from standfast.core.services.recommend import RecommendSettings
from standfast.core.settings import KafkaSettings, Settings
from standfast.core.topics.topic_file import damaged
from tests.waiting import wait_until


class Host:
    """A profiles topic, and a host whose follower reads it."""

    def __init__(self, servers: str, prefix: str, where: Path) -> None:
        kafka = KafkaSettings(bootstrap_servers=servers, topic_prefix=prefix)
        self.settings = Settings(kafka=kafka, recommend=RecommendSettings(profiles_mib=16))
        self.topic, self.where = f"{prefix}profiles", where
        self.admin = AdminClient(clients.base(self.settings, "test"))
        self._producer = Producer(clients.producer(self.settings, "test"))
        self.histories = ProfileHistories(where)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def create(self, partitions: int = 2) -> None:
        """Creates the topic."""
        wanted = NewTopic(self.topic, partitions, 1, config={"cleanup.policy": "compact"})
        self.admin.create_topics([wanted])[self.topic].result()
        self._is(partitions)

    def recreate(self) -> None:
        """Deletes the topic and creates it again."""
        self.admin.delete_topics([self.topic])[self.topic].result()
        wait_until(lambda: self.topic not in self.admin.list_topics(timeout=5).topics, what="the topic to be gone")
        self.create()

    def grow(self, partitions: int) -> None:
        """Adds partitions to the topic, up to `partitions` in all."""
        self.admin.create_partitions([NewPartitions(self.topic, partitions)])[self.topic].result()
        self._is(partitions)
        self._producer = Producer(clients.producer(self.settings, "test"))  # the old one would learn of them in minutes

    def put(self, user: str, *items: str, partition: int = 0, value: bytes | None = None) -> None:
        """Writes a profile with these items, or `value` if there are none; None deletes the profile."""
        seen = [Seen(item_id=item, event="view", timestamp=1000 + n) for n, item in enumerate(items)]
        data = Codec().encode(Profile(user_id=user, items=seen, updated_at=1), Encoding.JSON) if items else value
        self._producer.produce(self.topic, data, user.encode(), partition)
        assert self._producer.flush(10) == 0

    def follow(self) -> None:
        """Starts the follower."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def unfollow(self) -> None:
        """Stops the follower."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def knows(self, user: str, *items: str) -> None:
        """Waits until the store has exactly these items for the user."""
        wait_until(lambda: self.histories.known(user) == Known(items, complete=True), what=f"{user} with {items}")

    def _run(self) -> None:
        Follower(self.settings, Codec(), self.where, self._stop).run()

    def _is(self, partitions: int) -> None:
        def count() -> int:
            metadata: Any = self.admin.list_topics(timeout=5).topics.get(self.topic)
            return len(metadata.partitions) if metadata is not None else 0

        wait_until(lambda: count() == partitions, what="the topic")


@pytest.fixture
def host(broker: str, unique: str, tmp_path: Path) -> Iterator[Host]:
    made = Host(broker, f"{unique}.", tmp_path)
    made.create()
    made.histories.start()
    yield made
    made.unfollow()
    made.histories.close()


def test_workers_know_what_the_topic_holds_and_forget_what_is_deleted(host: Host) -> None:
    host.put("before", "a", "b")
    host.put("garbage", value=b"\x00\x01no profile")
    host.put("after", "c", partition=1)
    host.follow()
    host.knows("before", "a", "b")
    host.knows("after", "c")
    host.put("before")
    host.knows("before")
    host.put("live", "d")
    host.knows("live", "d")


def test_a_follower_that_starts_again_goes_on_where_it_was(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.put("u", "a")
    host.follow()
    host.knows("u", "a")
    host.unfollow()
    (store,) = host.where.glob("*.db")
    host.put("u", "a", "b")
    host.follow()
    host.knows("u", "a", "b")
    assert list(host.where.glob("*.db")) == [store]


def test_the_users_of_a_topic_that_was_made_again_are_forgotten(host: Host) -> None:
    host.put("old", "a")
    host.put("old", "b", partition=1)
    host.follow()
    host.knows("old", "a", "b")
    host.recreate()
    host.put("new", "c")
    host.knows("new", "c")
    host.knows("old")


def test_profiles_in_new_partitions_are_read(host: Host) -> None:
    host.put("u", "a")
    host.follow()
    host.knows("u", "a")
    host.grow(4)
    host.put("late", "b", partition=3)
    host.knows("late", "b")


@pytest.mark.parametrize("found_by", ["a reader", "the follower"])
def test_a_damaged_store_is_read_from_kafka_again(host: Host, found_by: str) -> None:
    host.put("u", "a")
    host.follow()
    host.knows("u", "a")
    (store,) = host.where.glob("*.db")
    if found_by == "a reader":
        damaged(store).touch()
    else:
        host.unfollow()
        with closing(sqlite3.connect(store)) as connection:  # otherwise SQLite repairs the file from its WAL
            connection.execute("pragma wal_checkpoint(truncate)")
        store.write_bytes(os.urandom(store.stat().st_size))
        host.follow()
    wait_until(lambda: not store.exists(), what="the damaged store to be given up")
    host.knows("u", "a")


def test_a_store_without_room_is_no_end_and_answers_are_degraded(host: Host) -> None:
    """16 MiB are full after some users with 5,000 products each; profiles that were stored before are still read."""
    host.put("u", "a")
    host.follow()
    host.knows("u", "a")
    for number in range(30):
        seen = {f"{number}-{item:0120}": 1 for item in range(5000)}
        profile = Profile(user_id=f"u{number}", items=[], earlier=seen, updated_at=1)
        host.put(f"u{number}", value=Codec().encode(profile, Encoding.JSON))
    wait_until(lambda: not host.histories.known("u").complete, 60, what="answers that say so")
    assert host.histories.known("u").items == ("a",)
