"""The watch knows how many partitions a topic has, or why it does not know."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from consumers.supervision import topic_watch
from consumers.supervision.topic_watch import TopicWatch
from standfast.core.settings import KafkaSettings, Settings
from tests.waiting import wait_until


def watch(servers: str, topic: str) -> TopicWatch:
    return TopicWatch(Settings(kafka=KafkaSettings(bootstrap_servers=servers)), topic)


def create(servers: str, topic: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)


def test_a_topic_that_is_there(broker: str, unique: str) -> None:
    create(broker, unique, 3)
    watcher = watch(broker, unique)
    assert "nothing" in watcher.problem, "nobody has asked yet"
    wait_until(lambda: watcher.ask() or not watcher.problem, what="an answer")  # type: ignore[func-returns-value]
    assert watcher.partitions == 3


def test_an_answer_that_is_too_old_counts_as_none(broker: str, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    create(broker, unique, 1)
    watcher = watch(broker, unique)
    wait_until(lambda: watcher.ask() or not watcher.problem, what="an answer")  # type: ignore[func-returns-value]
    monkeypatch.setattr(topic_watch, "_STALE_S", 0.0)
    assert "nothing" in watcher.problem


def test_a_topic_that_is_not_there(broker: str, unique: str) -> None:
    watcher = watch(broker, unique)
    watcher.ask()
    wait_until(lambda: "Unknown topic" in watcher.problem, what="a problem")


def test_a_kafka_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_watch, "_ASK_S", 0.2)
    watcher = watch("127.0.0.1:1", "search.requests")
    watcher.ask()
    wait_until(lambda: watcher._problem, what="a problem")
    assert "search.requests" in watcher.problem
