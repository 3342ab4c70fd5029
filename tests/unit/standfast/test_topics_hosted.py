"""Topics on a hosted Kafka that refuses some of the table's settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from schemas.topics import TABLE
from standfast import topics
from standfast.core.errors import TopicError
from standfast.core.settings import KafkaSettings

Verdict = Callable[[NewTopic], int]


class Hosted:
    """A cluster without topics that may refuse to create one: `verdict` returns an error code, or 0 to create it."""

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self.made: dict[str, dict[str, str]] = {}

    def list_topics(self, timeout: float) -> Any:  # noqa: ARG002 - as the client's
        return SimpleNamespace(brokers={1: None}, topics={})

    def create_topics(self, wanted: Sequence[NewTopic], **_: object) -> dict[str, Future[None]]:
        return {new.topic: self._outcome(new) for new in wanted}

    def _outcome(self, new: NewTopic) -> Future[None]:
        done: Future[None] = Future()
        if error := self._verdict(new):
            done.set_exception(KafkaException(KafkaError(error)))
        else:
            self.made[new.topic] = dict(new.config)
            done.set_result(None)
        return done


def apply(hosted: Hosted) -> None:
    topics.apply(cast("AdminClient", hosted), KafkaSettings(bootstrap_servers="hosted:9092"))


@pytest.mark.parametrize("error", [KafkaError.POLICY_VIOLATION, KafkaError.INVALID_CONFIG])
def test_a_kafka_that_lets_nobody_choose_compression_gets_its_topics_all_the_same(error: int) -> None:
    hosted = Hosted(lambda new: error if "compression.type" in new.config else 0)
    apply(hosted)
    assert hosted.made.keys() == {topic.name for topic in TABLE}
    assert hosted.made["interactions"].keys() == {"cleanup.policy", "retention.ms", "max.message.bytes"}


def test_a_kafka_that_lets_nobody_choose_how_it_compacts_gets_the_topic_all_the_same() -> None:
    hosted = Hosted(lambda new: KafkaError.POLICY_VIOLATION if "segment.ms" in new.config else 0)
    apply(hosted)
    assert hosted.made["status"] == {"cleanup.policy": "compact", "max.message.bytes": "1048576"}
    assert hosted.made["interactions"]["compression.type"] == "uncompressed", "other topics have the table's settings"


def test_a_topic_that_is_refused_for_another_reason_is_named() -> None:
    hosted = Hosted(lambda new: KafkaError.POLICY_VIOLATION if new.topic == "profiles" else 0)
    with pytest.raises(TopicError, match="profiles could not be created"):
        apply(hosted)
    assert hosted.made["interactions"]["compression.type"] == "uncompressed"


def test_an_older_cluster_where_only_the_models_topics_may_not_be_made_works_as_before() -> None:
    refused = {"models", "models.files"}
    hosted = Hosted(lambda new: KafkaError.TOPIC_AUTHORIZATION_FAILED if new.topic in refused else 0)
    with structlog.testing.capture_logs() as logged:
        apply(hosted)
    assert hosted.made.keys() == {topic.name for topic in TABLE} - refused
    assert [sorted(line["topics"]) for line in logged] == [["models", "models.files"]]


def test_whoever_may_not_create_topics_is_told() -> None:
    with pytest.raises(TopicError, match=r"search\.requests could not be created.*right to"):
        apply(Hosted(lambda _: KafkaError.TOPIC_AUTHORIZATION_FAILED))


def test_a_topic_that_another_made_meanwhile_is_no_error() -> None:
    apply(Hosted(lambda _: KafkaError.TOPIC_ALREADY_EXISTS))


class Young:
    """A cluster with new topics: the broker that is asked knows the first one only after `later` calls."""

    def __init__(self, later: int) -> None:
        self._later = later
        partition = SimpleNamespace(id=0, replicas=[1], isrs=[1], leader=1)
        made = SimpleNamespace(error=None, partitions=dict.fromkeys(range(8), partition))
        self._topics = {topic.name: made for topic in TABLE}

    def list_topics(self, timeout: float) -> Any:  # noqa: ARG002 - as the client's
        return SimpleNamespace(brokers={1: None}, topics=self._topics)

    def describe_configs(self, resources: Sequence[ConfigResource]) -> dict[ConfigResource, Future[dict[str, Any]]]:
        self._later -= 1
        return {resource: self._described(resource.name) for resource in resources}

    def _described(self, name: str) -> Future[dict[str, Any]]:
        done: Future[dict[str, Any]] = Future()
        if name == TABLE[0].name and self._later >= 0:
            done.set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
        else:
            done.set_result({"max.message.bytes": SimpleNamespace(value="1")})
        return done


@pytest.mark.parametrize(("later", "wrong"), [(0, ("max.message.bytes",)), (2, ("max.message.bytes",)), (999, ())])
def test_a_topic_that_not_every_broker_knows_yet_is_asked_about_again(
    monkeypatch: pytest.MonkeyPatch, later: int, wrong: tuple[str, ...]
) -> None:
    """`topics` and `up` ended with a traceback: one broker listed the topic, and another did not know it yet."""
    monkeypatch.setattr(topics, "_KNOWN_WITHIN_S", 0.5)
    rows = topics.plan(cast("AdminClient", Young(later)), KafkaSettings(bootstrap_servers="young:9092"))
    assert rows[0].wrong_config == wrong
    assert rows[1].wrong_config == ("max.message.bytes",)
