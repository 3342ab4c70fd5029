"""A Kafka with TLS, client certificates and passwords: every client of ours connects with the same settings."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiokafka
import faust
import pytest
from aiokafka.errors import KafkaConnectionError
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from standfast.core import clients
from standfast.core.settings import Settings
from streams.security import credentials
from tests.support.secure_broker import MECHANISMS, SecureBroker

TOPIC = "secured"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """A secure broker with a topic, started once for all tests of this module."""
    node = SecureBroker(tmp_path_factory.mktemp("secure"))
    try:
        node.start()
        admin = AdminClient({"bootstrap.servers": node.address})
        admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(30)
        yield node
    finally:
        node.stop()


class CertificateRefused(Exception):
    """The client refused the broker's certificate."""


class Clients:
    """The three kinds of clients that we have, with the settings of one user."""

    def __init__(self, servers: str, client: dict[str, str], home: Path) -> None:
        self._servers = servers
        self._client = client
        self._home = home
        self._settings = Settings.model_validate({"kafka": {"bootstrap_servers": servers, "client": client}})

    def librdkafka(self) -> None:
        """A worker's clients: reads what its own transaction wrote."""
        clients.check(self._settings)
        self._connect()
        producer = Producer(clients.transactional(self._settings, "test", "test"))
        producer.init_transactions(20)
        producer.begin_transaction()
        producer.produce(TOPIC, b"from librdkafka")
        producer.commit_transaction(20)
        consumer = Consumer(clients.follower(self._settings, "test"))
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
        try:
            (message,) = consumer.consume(1, 20)
            assert message.value() is not None
        finally:
            consumer.close()

    def _connect(self) -> None:
        errors: list[KafkaError] = []
        admin = AdminClient({**clients.base(self._settings, "test"), "error_cb": errors.append})
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                admin.list_topics(TOPIC, timeout=0.5)
            except KafkaException:
                admin.poll(0)
                if any(error.code() == KafkaError._SSL for error in errors):
                    raise CertificateRefused(errors) from None
            else:
                return
        raise TimeoutError(errors)

    def faust(self) -> None:
        """The stream processor's client, which is aiokafka's."""
        asyncio.run(self._aiokafka())

    async def _aiokafka(self) -> None:
        sasl = credentials(self._client)
        assert isinstance(sasl, faust.SASLCredentials)
        auth = credentials_to_aiokafka_auth(sasl, sasl.ssl_context)
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=self._servers, request_timeout_ms=20_000, **auth)
        try:
            await producer.start()
            await producer.send_and_wait(TOPIC, b"from faust")
        except KafkaConnectionError:
            raise CertificateRefused from None
        finally:
            await producer.stop()

    def java(self) -> None:
        """A console tool's client."""
        named = {f"KAFKA_{key}".upper().replace(".", "_"): value for key, value in self._client.items()}
        environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self._servers,
            "STANDFAST_HOME": str(self._home),
            **named,
        }
        words = [sys.executable, "-m", "standfast", "kafka", "get-offsets", "--topic", TOPIC]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=150, check=False)
        if "SSL handshake failed" in done.stderr:
            raise CertificateRefused(done.stderr)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{TOPIC}:0:")


def texts(client: dict[str, str]) -> dict[str, str]:
    """The same settings with certificates and keys as texts (`.pem`) instead of files (`.location`)."""
    return {
        key.replace(".location", ".pem"): Path(value).read_text() if key.endswith(".location") else value
        for key, value in client.items()
    }


KINDS: dict[str, Callable[[Clients], None]] = {
    "librdkafka": Clients.librdkafka,
    "faust": Clients.faust,
    "java": Clients.java,
}


# A Java tool takes 5 s, so it is run with SCRAM-SHA-512 only; the tests below run it with PLAIN.
_WAYS = [(mechanism, kind) for mechanism in MECHANISMS for kind in KINDS if kind != "java" or mechanism[-1] == "2"]


@pytest.mark.parametrize(("mechanism", "kind"), _WAYS)
def test_a_certificate_and_a_password_get_every_client_in(
    secure: SecureBroker, tmp_path: Path, mechanism: str, kind: str
) -> None:
    client = secure.client(mechanism)
    KINDS[kind](Clients(secure.named, texts(client) if mechanism == "SCRAM-SHA-512" else client, tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_a_broker_of_another_name_is_refused_unless_names_are_not_checked(
    secure: SecureBroker, tmp_path: Path, kind: str
) -> None:
    with pytest.raises(CertificateRefused):
        KINDS[kind](Clients(secure.misnamed, secure.client(), tmp_path))
    unchecked = secure.client(**{"ssl.endpoint.identification.algorithm": "none"})
    KINDS[kind](Clients(secure.misnamed, unchecked, tmp_path))


@pytest.mark.parametrize("kind", ["librdkafka", "faust"])
def test_a_broker_of_an_unknown_authority_is_refused_unless_certificates_are_not_checked(
    secure: SecureBroker, tmp_path: Path, kind: str
) -> None:
    """Java has no such setting, and the tools refuse it with an error."""
    client = secure.client()
    client["ssl.ca.location"] = client["ssl.certificate.location"]
    with pytest.raises(CertificateRefused):
        KINDS[kind](Clients(secure.named, client, tmp_path))
    unchecked = {**client, "enable.ssl.certificate.verification": "false"}
    KINDS[kind](Clients(secure.named, unchecked, tmp_path))
