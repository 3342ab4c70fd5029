"""Dead letters on a real Kafka: listed, and sent again or given up, each once, also if the sender is killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.dead_letters import RECEIPT, dead_letter_headers
from standfast import topics
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import ClusterError
from standfast.core.kafka_errors import is_partition_end
from standfast.core.processes import launching
from standfast.core.settings import KafkaSettings, Settings
from standfast.dead_letters.letters import Letters
from standfast.dead_letters.sending_again import SendingAgain
from tests.support.raw_records import RawRecord, batch, send
from tests.waiting import wait_until

_REGISTRY, _BAD = "the schema registry does not answer", "it is neither JSON nor Avro"


@pytest.fixture
def settings(broker: str, unique: str) -> Settings:
    made = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{unique}.", partitions=3))
    admin = AdminClient(clients.base(made, "test-dead-letters"))
    topics.apply(admin, made.kafka)
    wait_until(lambda: {row.state for row in topics.plan(admin, made.kafka)} == {"ok"}, what="all topics")
    return made


@pytest.fixture
def letters(settings: Settings) -> list[str]:
    """The ids of six records that are written to `search.requests.dlq`: five letters and one of somebody else."""
    requests = f"{settings.kafka.topic_prefix}search.requests"
    own = [("trace", b"t1"), ("deadline-ms", b"1700000000000"), ("error-reason", b"my own"), *RECEIPT]
    written = [
        (b"first", dead_letter_headers(own, _REGISTRY, requests, 2, 7, 1_700_000_000_000, "search-0")),
        (b"second", dead_letter_headers([], _REGISTRY, f"{requests}.bulk", 1, 8, 5, "search-0")),
        (b"bad", dead_letter_headers([], _BAD, requests, 99, 9, 5, "search-0")),
        (b"drill", dead_letter_headers([("drill-id", b"d1")], _REGISTRY, requests, 0, 3, 5, "search-0")),
        (b"", [*dead_letter_headers([], "large", requests, 0, 4, 5, "search-0"), ("error-value-bytes", b"99")]),
        (b"strange", [("error-topic", requests.encode())]),
    ]
    producer = Producer(clients.producer(settings, "test-letters"))
    for number, (value, headers) in enumerate(written):
        producer.produce(f"{requests}.dlq", value, f"k{number}", headers=headers)
    assert producer.flush(30) == 0
    return [f"0-{offset}" for offset in range(len(written))]


def read(settings: Settings, topic: str) -> list[Consumed]:
    """All committed records of a topic of these settings."""
    consumer = Consumer({**clients.follower(settings, "test-reader"), "enable.partition.eof": True})
    name = settings.kafka.topic_prefix + topic
    partitions = list(consumer.list_topics(name, timeout=10).topics[name].partitions)
    consumer.assign([TopicPartition(name, number, 0) for number in partitions])
    found: list[Consumed] = []
    while partitions:
        for message in cast("list[Consumed]", consumer.consume(100, 1)):
            if message.error() is None:
                found.append(message)
            elif is_partition_end(message.error()):
                partitions.remove(message.partition())
    consumer.close()
    return found


@pytest.fixture
def again(settings: Settings) -> Iterator[SendingAgain]:
    working = SendingAgain(settings, f"{settings.kafka.topic_prefix}search.requests.dlq", "tester")
    yield working
    working.close()


def waiting(settings: Settings) -> list[str]:
    reading = Letters(settings, f"{settings.kafka.topic_prefix}search.requests.dlq")
    try:
        return [letter.id for letter in reading.waiting().letters]
    finally:
        reading.close()


def command(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "STANDFAST_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
    }
    done = launching.command("dead-letters", *words)
    return subprocess.run(done, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.usefixtures("state")
def test_those_with_one_reason_are_sent_again_once_as_they_were(settings: Settings, letters: list[str]) -> None:
    listed = command(settings, "list", "search.requests")
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == letters[:5]
    assert "first" not in listed.stdout
    assert "1 records of the topic are no dead letters" in listed.stderr

    done = command(settings, "resend", "search.requests", "--reason", "Schema Registry")
    assert (done.returncode, done.stdout.strip()) == (0, "2 sent again"), done.stderr
    assert f"drills wrote them: {letters[3]}" in done.stderr
    (first,) = read(settings, "search.requests")
    assert (first.partition(), first.key(), first.value()) == (2, b"k0", b"first")
    place = f"{settings.kafka.topic_prefix}search.requests.dlq-{letters[0]}".encode()
    own = [("trace", b"t1"), ("error-reason", b"my own"), *RECEIPT]
    assert first.headers() == [*own, ("resent-from", place)]
    assert first.timestamp()[1] > 1_700_000_000_000
    (second,) = read(settings, "search.requests.bulk")
    assert (second.partition(), second.value()) == (1, b"second")

    more = command(settings, "resend", "search.requests", "--reason", "Schema Registry")
    assert more.returncode == 2
    assert "no such dead letter" in more.stderr
    assert waiting(settings) == letters[2:5]


@pytest.mark.usefixtures("state")
def test_what_is_given_up_waits_no_more_and_what_cannot_be_meant_is_said(
    settings: Settings, letters: list[str]
) -> None:
    shown = command(settings, "give-up", "search.requests", letters[4], letters[2], "--dry-run")
    assert [line.split()[0] for line in shown.stdout.splitlines()] == [letters[2], letters[4]]
    assert waiting(settings) == letters[:5]
    assert command(settings, "give-up", "search.requests", letters[4], letters[2]).returncode == 0
    assert waiting(settings) == [letters[0], letters[1], letters[3]]
    assert read(settings, "search.requests") == []
    for words, said in (
        (["resend", "search.requests"], "say which"),
        (["resend", "search.requests", "0-999"], "0-999"),
        (["resend", "search.requests", "x"], "'x'"),
        (["resend", "search.request", "--all"], "search.requests.dlq"),
        (["resend", "drills.control", "--all"], "no topic of dead letters"),
    ):
        wrong = command(settings, *words)
        assert wrong.returncode == 2
        assert said in wrong.stderr


def test_a_sender_that_is_killed_or_overtaken_has_sent_nothing_twice(
    settings: Settings, letters: list[str], again: SendingAgain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is stopped before its commit, as if it had been killed; the second does all."""
    wanted = {letter.place for letter in again.waiting() if not letter.left_out}

    def killed(_timeout: float) -> None:
        raise KeyboardInterrupt

    real = again._producer
    monkeypatch.setattr(again, "_producer", _Stopping(real, killed))
    with pytest.raises(KeyboardInterrupt):
        list(again.work(wanted, "sent again"))
    assert real.flush(30) == 0  # its records are in Kafka, in a transaction that is open

    topic = f"{settings.kafka.topic_prefix}search.requests.dlq"
    second = SendingAgain(settings, topic, "another")
    assert list(second.work({letter.place for letter in second.waiting() if not letter.left_out}, "sent again")) == [4]
    second.close()
    with pytest.raises(KafkaException):
        real.commit_transaction(10)
    sent = [*read(settings, "search.requests"), *read(settings, "search.requests.bulk")]
    assert sorted(message.value() or b"" for message in sent) == [b"bad", b"drill", b"first", b"second"]
    assert waiting(settings) == [letters[4]]


class _Stopping:
    """A producer whose commit does something else."""

    def __init__(self, producer: Producer, commit_transaction: object) -> None:
        self._producer, self.commit_transaction = producer, commit_transaction

    def __getattr__(self, name: str) -> object:
        return getattr(self._producer, name)


def test_who_is_overtaken_is_told_so(settings: Settings, letters: list[str], again: SendingAgain) -> None:
    wanted = {letter.place for letter in again.waiting()}
    second = SendingAgain(settings, f"{settings.kafka.topic_prefix}search.requests.dlq", "another")
    with pytest.raises(ClusterError, match="somebody else has begun"):
        list(again.work(wanted, "given up"))
    second.close()
    assert waiting(settings) == letters[:5]


def test_a_record_whose_header_name_is_no_utf_8_stops_nobody(settings: Settings, letters: list[str]) -> None:
    """confluent-kafka raises SystemError for it, if it is not asked in the way of `headers_of`."""
    topic = f"{settings.kafka.topic_prefix}search.requests.dlq"
    admin = AdminClient(clients.base(settings, "test-dead-letters"))
    send(admin, topic, 0, batch([RawRecord(b"raw", headers=[(b"\xff\xfe", b"x")])]))
    assert waiting(settings) == letters[:5]
