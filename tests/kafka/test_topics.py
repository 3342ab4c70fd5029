"""The topic table on a real Kafka: missing topics are created, once; topics that differ are reported and left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.topics import TABLE
from standfast import topics
from standfast.core import clients
from standfast.core.errors import ClusterError
from standfast.core.settings import KafkaSettings, Settings
from standfast.kafka.cluster import Cluster
from tests.waiting import wait_until


@pytest.fixture
def settings(broker: str, unique: str) -> Settings:
    return Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{unique}.", partitions=2))


@pytest.fixture
def admin(settings: Settings) -> AdminClient:
    return AdminClient(clients.base(settings, "test-topics"))


def states(admin: AdminClient, settings: Settings) -> list[str]:
    return [row.state for row in topics.plan(admin, settings.kafka)]


def test_a_plan_changes_nothing(admin: AdminClient, settings: Settings) -> None:
    assert states(admin, settings) == ["missing"] * len(TABLE)
    assert states(admin, settings) == ["missing"] * len(TABLE)


def test_what_is_missing_is_created_as_the_table_says_and_only_once(admin: AdminClient, settings: Settings) -> None:
    before = topics.apply(admin, settings.kafka)
    assert {row.state for row in before} == {"missing"}
    wait_until(lambda: states(admin, settings) == ["ok"] * len(TABLE), what="every topic is as the table says")
    again = topics.apply(admin, settings.kafka)
    assert {row.state for row in again} == {"ok"}
    sizes = {row.topic.name: (row.actual_partitions, row.actual_replication) for row in again}
    assert sizes["search.requests"] == (2, 1)
    assert sizes["drills.results"] == (1, 1)


def test_a_topic_that_differs_is_told_and_left_alone(admin: AdminClient, settings: Settings) -> None:
    name = f"{settings.kafka.topic_prefix}search.requests"
    admin.create_topics([NewTopic(name, 3, 1, config={"retention.ms": "1000"})])[name].result(15)
    wait_until(lambda: states(admin, settings)[0] == "differs", what="the topic is seen to differ")
    topics.apply(admin, settings.kafka)
    wait_until(lambda: "missing" not in states(admin, settings), what="the others are created")
    row = topics.plan(admin, settings.kafka)[0]
    assert row.state == "differs"
    assert any(text.startswith("partitions 3 instead of 2") for text in row.differs)
    assert any(text.startswith("retention.ms 1000 instead of") for text in row.differs)


def test_a_compacted_request_topic_is_told_and_the_printed_commands_mend_it(
    admin: AdminClient, settings: Settings, tmp_path: Path
) -> None:
    name = f"{settings.kafka.topic_prefix}search.requests"
    wrong = {
        "cleanup.policy": "compact",
        "retention.ms": "1000",
        "max.message.bytes": "5000",
        "compression.type": "producer",
    }
    admin.create_topics([NewTopic(name, 1, 1, config=wrong)])[name].result(15)
    wait_until(lambda: states(admin, settings)[0] == "differs", what="the topic is seen to differ")
    row = topics.plan(admin, settings.kafka)[0]
    assert [text.split()[0] for text in row.differs] == ["partitions", *sorted(wrong, key=list(wrong).index)]
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "STANDFAST_HOME": str(tmp_path),
    }
    assert packed(admin, settings) == [[name]], "a start says so"
    for command in row.remedy():
        words = [sys.executable, "-m", *command.split()]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=150, check=False)
        assert done.returncode == 0, done.stderr
    wait_until(lambda: states(admin, settings)[0] == "ok", what="the topic is as the table says")
    assert packed(admin, settings) == []


def packed(admin: AdminClient, settings: Settings) -> list[list[str]]:
    """The topics in each warning that a start logs."""
    with structlog.testing.capture_logs() as lines:
        topics.apply(admin, settings.kafka)
    return [line["topics"] for line in lines if line["event"].startswith("these topics do not unpack records")]


def test_a_status_topic_that_would_grow_is_mended_by_the_printed_command(
    admin: AdminClient, settings: Settings, tmp_path: Path
) -> None:
    name = f"{settings.kafka.topic_prefix}status"
    admin.create_topics([NewTopic(name, 1, 1, config={"cleanup.policy": "compact"})])[name].result(15)
    wait_until(lambda: "differs" in states(admin, settings), what="the topic is seen to differ")
    topics.apply(admin, settings.kafka)
    wait_until(lambda: "missing" not in states(admin, settings), what="the others are created")
    row = next(row for row in topics.plan(admin, settings.kafka) if row.name == name)
    assert "cleanup.policy compact instead of compact,delete" in row.differs
    (command,) = row.remedy()
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "STANDFAST_HOME": str(tmp_path),
    }
    words = command.replace("standfast kafka", f"{sys.executable} -m standfast kafka")
    done = subprocess.run(  # noqa: S602
        words, shell=True, env=environment, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(lambda: states(admin, settings) == ["ok"] * len(TABLE), what="every topic is as the table says")


def test_fewer_copies_than_there_should_be_are_told(admin: AdminClient, settings: Settings) -> None:
    name = f"{settings.kafka.topic_prefix}search.requests"
    admin.create_topics([NewTopic(name, 2, 1)])[name].result(15)
    wanted = settings.kafka.model_copy(update={"replication": 3})
    wait_until(lambda: topics.plan(admin, wanted)[0].actual_partitions == 2, what="the topic is seen")
    row = topics.plan(admin, wanted)[0]
    assert "replication 1 instead of 3" in row.differs
    assert not any("reassign" in command for command in row.remedy()), "one broker holds one copy"


def test_the_printed_command_gives_a_topic_its_copies(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, unique: str
) -> None:
    with Cluster(brokers=3, folder=tmp_path_factory.mktemp("three")) as three:
        kafka = KafkaSettings(bootstrap_servers=three.bootstrap_servers, topic_prefix=f"{unique}.", partitions=2)
        settings = Settings(kafka=kafka)
        admin = AdminClient(clients.base(settings, "test-topics"))
        name = f"{unique}.search.requests"
        admin.create_topics([NewTopic(name, 2, replica_assignment=[[3], [1]], config=TABLE[0].config())])[name].result(
            15
        )
        wait_until(lambda: states(admin, settings)[0] == "differs", what="the topic is seen to differ")
        row = topics.plan(admin, kafka)[0]
        assert "replication 1 instead of 3" in row.differs
        assert row.more_replicas == ((0, [3, 1, 2]), (1, [1, 2, 3])), "nothing moves away from where it is"
        (command,) = row.remedy()
        environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": three.bootstrap_servers,
            "STANDFAST_HOME": str(tmp_path),
        }
        words = command.replace("standfast kafka", f"{sys.executable} -m standfast kafka")
        done = subprocess.run(  # noqa: S602
            words, shell=True, env=environment, capture_output=True, text=True, timeout=150, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(lambda: states(admin, settings)[0] == "ok", 60, what="the topic is as the table says")


def test_a_kafka_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_TIMEOUT_S", 0.5)
    settings = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:1 does not answer.*KAFKA_BOOTSTRAP_SERVERS"):
        topics.plan(AdminClient(clients.base(settings, "test")), settings.kafka)
