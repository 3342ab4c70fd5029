"""What is known about reply topics; asking for it never waits for Kafka."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from consumers.commit import partition_counts
from consumers.commit.partition_counts import PartitionCounts
from tests.waiting import wait_until


class FakeAdmin:
    """Answers `describe_topics` while `let` is set; `asked` are the topics of each call."""

    def __init__(self) -> None:
        self.topics: dict[str, int | KafkaException | Exception] = {}
        self.asked: list[list[str]] = []
        self.let = threading.Event()
        self.let.set()

    def describe_topics(self, topics: Any, request_timeout: float) -> dict[str, Future[Any]]:
        assert request_timeout > 0
        assert self.let.wait(60)
        self.asked.append(list(topics.topic_names))
        return {name: self._answer(name) for name in self.asked[-1]}

    def _answer(self, name: str) -> Future[Any]:
        future: Future[Any] = Future()
        count = self.topics.get(name, KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
        if isinstance(count, Exception):
            future.set_exception(count)
        else:
            future.set_result(SimpleNamespace(partitions=[None] * count))
        return future


@pytest.fixture
def admin() -> FakeAdmin:
    return FakeAdmin()


@pytest.fixture
def counts(admin: FakeAdmin) -> PartitionCounts:
    return PartitionCounts(lambda: cast(AdminClient, admin))


def test_whoever_asks_does_not_wait(admin: FakeAdmin, counts: PartitionCounts) -> None:
    """Each request that named a missing topic held up all others for 0.5 s, one after the other."""
    admin.let.clear()
    assert [counts(f"missing-{number}") for number in range(64)] == [None] * 64
    admin.let.set()
    counts.wait([f"missing-{number}" for number in range(64)], 60)
    assert [counts(f"missing-{number}") for number in range(64)] == [0] * 64
    assert len(admin.asked) <= 2, "all in one call, but for those that came while the first was under way"


def test_a_miss_is_remembered_like_any_answer(admin: FakeAdmin, counts: PartitionCounts) -> None:
    admin.topics["there"] = 3
    counts.wait(["there", "missing"], 60)
    for _ in range(100):
        assert (counts("there"), counts("missing")) == (3, 0)
    assert len(admin.asked) == 1


def test_what_was_known_is_told_until_there_is_news(
    admin: FakeAdmin, counts: PartitionCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_counts, "_KNOWN_S", 0.0)
    counts.wait(["made later"], 60)
    admin.topics["made later"] = 2
    assert counts("made later") == 0
    wait_until(lambda: counts("made later") == 2, what="the news")


@pytest.mark.parametrize("failure", [KafkaException(KafkaError(KafkaError._TIMED_OUT)), TimeoutError()])
def test_while_kafka_does_not_answer_nothing_is_known_and_it_is_asked_again(
    admin: FakeAdmin, counts: PartitionCounts, failure: Exception
) -> None:
    admin.topics["theirs"] = failure
    counts.wait(["theirs"], 0.05)
    assert counts("theirs") is None
    admin.topics["theirs"] = 1
    wait_until(lambda: counts("theirs") == 1, what="an answer")


def test_a_topic_that_may_not_be_seen_counts_as_missing(admin: FakeAdmin, counts: PartitionCounts) -> None:
    admin.topics["hidden"] = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    counts.wait(["hidden"], 60)
    assert counts("hidden") == 0


def test_made_up_names_are_bounded_and_do_not_push_out_what_is_used(
    admin: FakeAdmin, counts: PartitionCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_counts, "_MOST", 20)
    admin.topics["used"] = 4
    counts.wait(["used"], 60)
    for number in range(200):
        counts.wait([f"made-up-{number}"], 60)
        assert counts("used") == 4
    assert len(counts._known) == 20
    assert len(counts._wanted) <= 20
