"""A user's `KAFKA_*` settings win over ours in every client, or are refused with the reason."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from standfast.core import clients
from standfast.core.clients_fixed import FIXED
from standfast.core.errors import SettingsError
from standfast.core.settings import Settings

# Settings a user may change, with values that no client of ours uses.
_OTHERS = {
    "reconnect.backoff.ms": "33",
    "reconnect.backoff.max.ms": "900",
    "socket.timeout.ms": "9000",
    "topic.metadata.refresh.interval.ms": "7000",
    "topic.metadata.refresh.fast.interval.ms": "44",
    "retry.backoff.ms": "55",
    "retry.backoff.max.ms": "66",
    "metadata.recovery.rebootstrap.trigger.ms": "6000",
    "fetch.wait.max.ms": "77",
    "fetch.error.backoff.ms": "88",
    "fetch.max.bytes": "2000000",
    "fetch.message.max.bytes": "1000001",
    "queued.max.messages.kbytes": "9999",
    "heartbeat.interval.ms": "222",
    "linger.ms": "11",
    "message.max.bytes": "1000000",
    "message.timeout.ms": "8000",
    "request.timeout.ms": "2222",
    "transaction.timeout.ms": "9500",
    "max.in.flight.requests.per.connection": "2",
    "queue.buffering.max.kbytes": "65536",
}


def given(**client: str) -> Settings:
    return Settings.model_validate({"kafka": {"client": client}})


def kinds(settings: Settings) -> dict[str, clients.Config]:
    return {
        "base": clients.base(settings, "c"),
        "consumer": clients.consumer(settings, "c", "g"),
        "worker": clients.worker(settings, "g", "i", "s"),
        "answers": clients.answers(settings, "c"),
        "follower": clients.follower(settings, "c"),
        "producer": clients.producer(settings, "c"),
        "requests": clients.requests(settings, "c"),
        "transactional": clients.transactional(settings, "c", "t"),
        "replies": clients.replies(settings, "c"),
        "status": clients.status(settings, "c"),
    }


def test_every_setting_of_ours_either_gives_way_or_is_refused() -> None:
    """A new setting in `clients` must be added to `FIXED` or to `_OTHERS`."""
    ours = {name for config in kinds(given()).values() for name in config} - {"logger"}
    assert ours <= FIXED.keys() | _OTHERS.keys()
    assert not FIXED.keys() & _OTHERS.keys()


def test_the_users_settings_win_in_every_client() -> None:
    settings = given(**_OTHERS)
    clients.check(settings)
    for kind, config in kinds(settings).items():
        assert {name: config[name] for name in _OTHERS} == _OTHERS, kind
    before, after = kinds(given()), kinds(settings)
    for kind in before:
        assert {name: after[kind].get(name) for name in FIXED} == {name: before[kind].get(name) for name in FIXED}


@pytest.mark.parametrize("name", FIXED)
def test_what_cannot_be_changed_is_refused_with_its_value_and_the_reason(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        clients.check(given(**{name: "mine"}))
    variable = f"KAFKA_{name}".upper().replace(".", "_")
    assert str(caught.value).startswith(f"{name} = mine cannot be set: {FIXED[name][1]}; unset {variable}")


def test_another_name_of_it_is_refused_too_and_all_are_named() -> None:
    with pytest.raises(SettingsError, match=r"request\.required\.acks = 1 .*KAFKA_REQUEST.*; unset KAFKA_CLIENT_ID"):
        clients.check(given(**{"request.required.acks": "1", "client.id": "x"}))


def test_the_documentation_lists_what_cannot_be_changed() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sre.md").read_text()
    exceptions = page.partition("with these exceptions")[2].partition("What librdkafka refuses")[0]
    assert set(re.findall(r"`([a-z.]+)`", exceptions)) == FIXED.keys()


def test_saying_what_we_do_anyway_is_no_mistake() -> None:
    settings = given(**{"enable.auto.commit": "False", "acks": "all", "isolation.level": "read_committed"})
    clients.check(settings)
    Consumer({**clients.worker(settings, "g", "i", "s"), "bootstrap.servers": ""}).close()
    Producer({**clients.replies(settings, "c"), "bootstrap.servers": ""})


def test_another_name_of_a_setting_wins_too() -> None:
    config = clients.producer(given(**{"queue.buffering.max.ms": "7"}), "c")
    assert config["linger.ms"] == "7"
    assert "queue.buffering.max.ms" not in config


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("socket.timeout.ms", "60000", r"; socket\.timeout\.ms is 60000; transaction\.timeout\.ms is 10000"),
        ("delivery.timeout.ms", "30000", r"; message\.timeout\.ms is 30000; transaction\.timeout\.ms is 10000"),
        ("retries", "0", "retries"),
        ("max.poll.interval.ms", "1000", r"max\.poll\.interval\.ms is 1000"),
    ],
)
def test_what_only_some_of_our_clients_refuse_is_said_before_anything_starts(
    name: str, value: str, message: str
) -> None:
    """A plain consumer accepts the setting, but every worker ended on it, again and again."""
    with pytest.raises(SettingsError, match=message):
        clients.check(given(**{name: value}))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"KAFKA_ISOLATION_LEVEL": "read_uncommitted"}, "isolation.level = read_uncommitted cannot be set: "),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL"}, "security.protocol = SSL, and the embedded Kafka knows PLAINTEXT only; "),
        (
            {
                "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
                "KAFKA_SECURITY_PROTOCOL": "SSL",
                "KAFKA_SSL_CIPHER_SUITES": "AES128-SHA",
            },
            "the stream processor's clients cannot follow ssl.cipher.suites; ",
        ),
    ],
)
def test_up_ends_with_one_line(tmp_path: Path, variables: dict[str, str], message: str) -> None:
    """If it started, a role would end again and again, or wait for ever."""
    environment = {**os.environ, "STANDFAST_HOME": str(tmp_path), **variables}
    words = [sys.executable, "-m", "standfast", "up"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {message}")
    assert "Traceback" not in done.stderr


def test_a_record_that_cannot_be_delivered_fails_before_kafka_ends_its_transaction() -> None:
    """Otherwise Kafka fences the producer: a missing dead-letter topic ended the drill runner that way."""
    config = clients.transactional(given(), "c", "t")
    assert config["message.timeout.ms"] <= config["transaction.timeout.ms"] / 2
