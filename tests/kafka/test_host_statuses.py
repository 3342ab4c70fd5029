"""Each host's status on Kafka: alive while it writes, gone when it is silent, deleted when the host stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from standfast import topics
from standfast.core import clients
from standfast.core.hosts.host_statuses import GONE_S, HostSeen, HostStatuses
from standfast.core.settings import KafkaSettings, Settings
from standfast.core.status import SystemStatus
from standfast.kafka.cluster import Cluster
from standfast.status_topic import StatusTopic
from tests.support.desk import TopicReader
from tests.support.toys.toys import Toys
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    made = Toys(tmp_path_factory.mktemp("status"), broker, "status-topic.", ("search",), STANDFAST_WORKERS__HOST="a")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def settings(broker: str, unique: str) -> Settings:
    """The topics of a system that does not run."""
    made = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{unique}.", partitions=1))
    topics.apply(AdminClient(clients.base(made, "test")), made.kafka)
    return made


@pytest.fixture
def statuses(settings: Settings) -> Iterator[HostStatuses]:
    with HostStatuses(settings) as made:
        yield made


def system_status(host: str, detail: str = "") -> SystemStatus:
    return SystemStatus(
        state="ready", at=0, supervisor_pid=1, bootstrap_servers="", metrics_url="", host=host, detail=detail
    )


def hosts(statuses: HostStatuses, within_s: float = 0.05) -> dict[str, HostSeen]:
    statuses.update(within_s)
    return {seen.host: seen for seen in statuses.hosts()}


def alive(statuses: HostStatuses) -> set[str]:
    return {host for host, seen in hosts(statuses).items() if not seen.gone}


def put(settings: Settings, host: str, value: bytes | None) -> None:
    """Writes one status record, as a host would that writes no further one."""
    producer = Producer(clients.producer(settings, "test"))
    producer.produce(f"{settings.kafka.topic_prefix}status", value, host)
    assert producer.flush(30) == 0


def status_of(detail: str = "") -> bytes:
    return msgspec.json.encode(system_status("x", detail))


def test_a_running_system_is_seen_and_what_happens_to_it(toys: Toys) -> None:
    host = toys.status().host
    assert host.startswith("a-")
    with HostStatuses(toys.settings) as statuses:
        statuses.settle(30)
        assert alive(statuses) == {host}
        worker = toys.active()[0]
        toys.kill(worker.pid)
        wait_until(
            lambda: any(row.id == worker.id and row.restarts for row in hosts(statuses)[host].status.workers),
            what="a worker that was replaced",
        )
        toys.whole((worker.pid,))
        wait_until(lambda: worker.pid not in {row.pid for row in hosts(statuses)[host].status.workers})
    with TopicReader(toys.settings, toys.topic("status")) as reader:
        record = reader.until(lambda message: message.key() == host.encode())
        assert json.loads(record.value()).keys() == json.loads((toys.home / "run" / "status.json").read_text()).keys()


def test_the_command_line_shows_every_host(toys: Toys) -> None:
    put(toys.settings, "dead\x1b[2J", status_of("[bold]"))
    time.sleep(GONE_S)  # a host counts as gone after this silence
    host = toys.status().host
    environment = {**os.environ, **toys._environment}
    words = [sys.executable, "-m", "standfast", "status", "--all-hosts"]
    done = subprocess.run([*words, "--json"], env=environment, capture_output=True, text=True, timeout=100, check=True)
    shown = json.loads(done.stdout)
    assert shown["host"] == host
    assert {seen["host"]: seen["gone"] for seen in shown["hosts"]} == {host: False, "dead\x1b[2J": True}
    plain = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=100, check=True).stdout
    assert f"{host} (here)" in plain
    assert "gone" in plain
    assert "\x1b" not in plain
    put(toys.settings, "dead\x1b[2J", None)


def test_the_command_line_answers_from_the_file_while_kafka_is_away(toys: Toys) -> None:
    environment = {**os.environ, **toys._environment, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    words = [sys.executable, "-m", "standfast", "status", "--all-hosts", "--json"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=100, check=True)
    shown = json.loads(done.stdout)
    assert shown["hosts"] is None
    assert len(shown["workers"]) == len(toys.status().workers)
    assert "not known" in done.stderr


def test_a_killed_system_is_gone_and_one_that_stops_is_deleted(toys: Toys) -> None:
    host = toys.status().host
    with HostStatuses(toys.settings) as statuses:
        statuses.settle(30)
        os.kill(toys.status().supervisor_pid, signal.SIGKILL)
        wait_until(lambda: hosts(statuses)[host].gone, what="a host that is gone")
        toys.stop(signal.SIGKILL)
        toys.start()
        wait_until(lambda: alive(statuses) == {host}, what="the same host again")
        with TopicReader(toys.settings, toys.topic("status")) as records:
            os.kill(toys.status().supervisor_pid, signal.SIGTERM)
            wait_until(lambda: not hosts(statuses), what="a host that has left")
            records.until(lambda record: record.value() is None)
        states = [json.loads(record.value())["state"] for record in records.messages if record.value()]
        # A stop may take less time than there is between two records, and then leaves only the deletion.
        assert set(states) <= {"ready", "degraded", "stopping"}
        toys.stop(signal.SIGKILL)
        toys.start()


def test_what_lay_there_long_ago_is_gone_at_once_and_no_second_passes_for_it(
    settings: Settings, statuses: HostStatuses
) -> None:
    put(settings, "old", status_of())
    time.sleep(GONE_S)  # a host counts as gone after this silence
    put(settings, "new", status_of())
    statuses.settle(30)
    assert {host: seen.gone for host, seen in hosts(statuses).items()} == {"new": False, "old": True}
    wait_until(lambda: not alive(statuses), what="both gone")


def test_a_reader_whose_clock_is_wrong_sees_who_speaks(
    settings: Settings, statuses: HostStatuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(settings, "dead", status_of())
    put(settings, "alive", status_of("first"))
    late = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: late)
    wait_until(lambda: len(hosts(statuses)) == 2)
    assert not alive(statuses), "no new record shows that they live"
    put(settings, "alive", status_of("second"))
    statuses.settle(30)
    assert alive(statuses) == {"alive"}


def test_what_cannot_be_read_and_who_has_left_is_passed_over(settings: Settings, statuses: HostStatuses) -> None:
    put(settings, "good", status_of())
    for value in (b"", b"\xff", b"[" * 100_000, b'{"state": 7}', b"\xc3\x01"):
        put(settings, "bad", value)
    put(settings, "left", status_of())
    put(settings, "left", None)
    statuses.settle(30)
    assert set(hosts(statuses)) == {"good"}


def test_a_topic_that_is_not_there_is_a_problem_until_it_is(broker: str, unique: str) -> None:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{unique}.", partitions=1))
    with HostStatuses(settings) as statuses:
        statuses.settle(1)
        assert "Unknown topic" in statuses.problem
        assert statuses.hosts() == []
        topics.apply(AdminClient(clients.base(settings, "test")), settings.kafka)
        put(settings, "first", status_of())
        wait_until(lambda: alive(statuses) == {"first"}, what="a host")
        assert not statuses.problem


def test_nobody_is_gone_while_kafka_is_away_and_it_goes_on_when_it_is_back(tmp_path: Path, unique: str) -> None:
    with Cluster(brokers=1, folder=tmp_path / "kafka") as cluster:
        kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, topic_prefix=f"{unique}.", partitions=1)
        settings = Settings(kafka=kafka)
        topics.apply(AdminClient(clients.base(settings, "test")), settings.kafka)
        topic = StatusTopic(settings, "a")
        topic.start()
        number, gone = 0, False

        def speaks(until: str) -> bool:
            nonlocal number, gone
            number += 1
            topic.publish(system_status("a", str(number)))
            seen = hosts(statuses, 0.2).get("a")
            gone = gone or (seen is not None and seen.gone)
            return seen is not None and int(seen.status.detail) > int(until)

        with HostStatuses(settings) as statuses:
            wait_until(lambda: speaks("0"), what="a host")
            pid = cluster.nodes[0].pid
            os.kill(pid, signal.SIGSTOP)
            try:
                wait_until(lambda: speaks("0") and statuses.problem, what="a Kafka that is away")
                until = time.monotonic() + 2 * GONE_S
                wait_until(lambda: speaks("0") and time.monotonic() > until, 60, what="a long absence")
            finally:
                os.kill(pid, signal.SIGCONT)
            before = str(number)
            wait_until(lambda: speaks(before) and not statuses.problem, what="a host that is heard again")
            assert not gone
            topic.close(30)
            wait_until(lambda: not hosts(statuses), what="a host that has left")
