"""The embedded Kafka: it starts, keeps its data, says why it cannot start, and dies with its parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from standfast.core.errors import ClusterError
from standfast.core.processes import launching
from standfast.kafka import broker, leftovers
from standfast.kafka.broker import Node
from standfast.kafka.broker_config import Layout, is_free, new_layout
from standfast.kafka.cluster import Cluster
from standfast.kafka.jit_priority import compiler_threads
from standfast.kafka.quorum import elect_another, leader_and_epoch, request
from standfast.kafka.wire import ask
from tests.waiting import wait_until

PARENT = """
import sys, time
from pathlib import Path
from standfast.kafka.cluster import Cluster
cluster = Cluster(1, Path(sys.argv[1]))
cluster.start()
Path(sys.argv[2]).write_text(str(cluster.nodes[0].pid))
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kafka"


def test_a_node_is_formatted_as_kafkas_own_tool_does_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def formatted(name: str) -> tuple[list[str], list[str]]:
        layout = new_layout(1)
        node = Node(folder / name, layout, layout.nodes[0])
        node.write_config()
        if (process := node.begin_format()) is not None:
            node.end_format(process, 60)
        lines = [line for line in (node.data / "meta.properties").read_text().splitlines() if line[0] != "#"]
        assert f"cluster.id={layout.cluster_id}" in lines
        return sorted(file.name for file in node.data.iterdir()), sorted(line.partition("=")[0] for line in lines)

    quick = formatted("quick")
    monkeypatch.setattr(broker, "bootstrap_file", lambda: folder / "missing")
    assert quick == formatted("tool")


@pytest.fixture
def three(folder: Path) -> Iterator[Cluster]:
    with Cluster(3, folder) as cluster:
        yield cluster
        for node in cluster.nodes:  # a stop in order waits 20 s for a quorum that the test has taken away
            node.kill()


def runs(pid: int | None) -> bool:
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def create(servers: str, topic: str, copies: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, 1, copies)])[topic].result(timeout=20)


def produce(servers: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def consume(servers: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    values: list[bytes] = []

    def enough() -> bool:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            values.append(message.value())
        return len(values) >= count

    try:
        wait_until(enough, 30, every=0, what=f"{count} records of {topic}")
    finally:
        consumer.close()
    return values


def test_a_restart_finds_its_data_and_its_ports(folder: Path, unique: str) -> None:
    with Cluster(1, folder) as first:
        address = first.bootstrap_servers
        create(address, unique)
        produce(address, unique, [b"kept"])
        pid = first.nodes[0].pid
    assert not runs(pid)
    with Cluster(1, folder) as second:
        assert second.bootstrap_servers == address
        assert consume(address, unique, 1) == [b"kept"]
        second.nodes[0].kill()
        second.nodes[0].restart()
        second.wait_ready(120)
        assert consume(address, unique, 1) == [b"kept"]


def test_whoever_answers_goes_before_the_compiler_also_after_a_restart(folder: Path) -> None:
    def compiles_at() -> set[int]:
        assert node.pid is not None
        return {os.getpriority(os.PRIO_PROCESS, thread) for thread in compiler_threads(node.pid)}

    with Cluster(1, folder) as cluster:
        node = cluster.nodes[0]
        wait_until(lambda: compiles_at() == {19}, 10, what="a compiler that yields")
        assert os.getpriority(os.PRIO_PROCESS, node.pid or 0) == 0
        node.kill()
        node.restart()
        wait_until(lambda: compiles_at() == {19}, 10, what="a compiler that yields after a restart")


def test_a_half_written_folder_is_repaired_and_data_without_identity_is_refused(folder: Path) -> None:
    """A kill during the first start leaves a data folder without meta.properties, or one under its temporary name."""
    (folder / "node-1" / "data.new").mkdir(parents=True)
    (folder / "node-1" / "data.new" / "meta.properties").write_text("versi")
    (folder / "node-1" / "data").mkdir()
    (folder / "node-1" / "data" / ".lock").touch()
    with Cluster(1, folder):
        pass
    meta = folder / "node-1" / "data" / "meta.properties"
    meta.rename(folder / "meta.properties")
    with pytest.raises(ClusterError, match=r"no meta\.properties.*move the folder away"):
        Cluster(1, folder).start()
    assert (folder / "node-1" / "data" / "__cluster_metadata-0").is_dir()


def test_a_folder_in_use_names_the_process_that_holds_it(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("standfast.kafka.cluster._GRACE_S", 0.2)
    with pytest.raises(ClusterError, match=f"in use by process {cluster.nodes[0].pid}"):
        Cluster(1, cluster.folder).start()
    assert cluster.nodes[0].alive


def test_another_number_of_brokers_is_refused(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="holds a cluster of 1 and 3 brokers are asked for"):
        Cluster(3, cluster.folder).start()


def test_a_start_that_fails_shows_kafkas_own_reason_and_leaves_nothing_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "standfast.kafka.broker_config._quick_to_notice", lambda: {"broker.heartbeat.interval.ms": "soon"}
    )
    started = Cluster(1, folder)
    with pytest.raises(ClusterError, match=r"soon.*broker\.heartbeat\.interval\.ms.*log: .*node-1"):
        started.start()
    assert not any(node.alive for node in started.nodes)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_broker_dies_with_its_parent(folder: Path, tmp_path: Path, how: signal.Signals) -> None:
    pid_file = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(folder), str(pid_file)])
    try:
        pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text(), 120))
        assert runs(pid)
    finally:
        parent.send_signal(how)
        parent.wait(60)
    wait_until(lambda: not runs(pid), 60, what=f"the end of java {pid}")
    with Cluster(1, folder):
        pass


def test_brokers_listen_on_loopback_only(cluster: Cluster) -> None:
    """On Linux all of 127/8 is loopback: a socket bound to 0.0.0.0 would answer on 127.0.0.2 too."""
    port = int(cluster.bootstrap_servers.rpartition(":")[2])
    assert not is_free(port)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", port)) != 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) == 0


def placement(admin: AdminClient, topic: str) -> tuple[int, int]:
    """Who leads partition 0, and how many copies are in sync; (-1, 0) from a broker that has not heard of the topic."""
    partitions = admin.list_topics(topic, timeout=10).topics[topic].partitions
    return (int(partitions[0].leader), len(partitions[0].isrs)) if partitions else (-1, 0)


def test_three_brokers_lose_nothing_when_one_is_killed_and_comes_back(three: Cluster, unique: str) -> None:
    servers = three.bootstrap_servers
    create(servers, unique, copies=3)
    produce(servers, unique, [b"before"])
    admin = AdminClient({"bootstrap.servers": servers})

    def leader() -> int:
        return placement(admin, unique)[0]

    victim = three.nodes[wait_until(lambda: max(0, leader()), 60, what="a leader") - 1]
    victim.kill()
    produce(servers, unique, [b"meanwhile"])
    assert leader() != victim.id
    victim.restart()
    three.wait_ready(120)
    wait_until(lambda: placement(admin, unique)[1] == 3, 30, what="three copies in sync")
    assert consume(servers, unique, 2) == [b"before", b"meanwhile"]


def test_a_broker_that_is_written_off_is_replaced_at_once_and_comes_back(three: Cluster, unique: str) -> None:
    servers = three.bootstrap_servers
    create(servers, unique, copies=3)
    admin = AdminClient({"bootstrap.servers": servers})

    def leader() -> int:
        return placement(admin, unique)[0]

    victim = three.nodes[wait_until(lambda: max(0, leader()), 60, what="a leader") - 1]
    victim.kill()
    wait_until(lambda: three.unregister(victim), 60, what="a controller that takes the request")
    wait_until(lambda: leader() not in {victim.id, -1}, 60, what="a leader among the others")
    victim.restart()
    three.wait_ready(120)
    wait_until(lambda: placement(admin, unique)[1] == 3, 60, what="three copies in sync")


@pytest.mark.parametrize("authorizer", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_dead_controller_is_followed_by_another_at_once_and_a_dead_follower_by_nobody(
    folder: Path, *, authorizer: bool
) -> None:
    with Cluster(3, folder, authorizer=authorizer) as three:
        password = msgspec.json.decode((folder / "cluster.json").read_bytes(), type=Layout).password
        assert bool(password) == authorizer

        def leads(node: Node) -> int:
            return leader_and_epoch(ask(node.controller_address, request(-1, 0, node.id), 10, password))[0]

        active = three.nodes[wait_until(lambda: max(0, leads(three.nodes[0])), 60) - 1]
        others = {node.id: node.controller_address for node in three.nodes if node is not active}
        assert not elect_another(min(others), others, 10, password), "a follower was taken for the leader"
        if authorizer:
            assert not elect_another(active.id, others, 10, "another"), "a wrong password was let in"
        active.kill()
        assert elect_another(active.id, others, 10, password)
        follower = next(node for node in three.nodes if node is not active)
        wait_until(lambda: leads(follower) in others, 60, what="another controller")
        active.restart()
        three.wait_ready(120)


def test_nobody_is_written_off_while_another_is_down_too(three: Cluster) -> None:
    for node in three.nodes[:2]:
        node.kill()
    assert not three.unregister(three.nodes[0])


def test_a_single_broker_is_not_written_off(cluster: Cluster) -> None:
    assert not cluster.unregister(cluster.nodes[0])


def test_a_broker_in_any_folder_that_outlives_its_supervisor_is_ended(tmp_path: Path) -> None:
    """Kafka read a comma in the path as two folders; and `up` advised `down`, which found nothing to stop."""
    folder, pid_file = tmp_path / "Müller, Söhne \\ 100% [x]" / "kafka", tmp_path / "told"
    folder.mkdir(parents=True)
    environment = {**launching.environment(), "LC_ALL": "C", "JAVA_TOOL_OPTIONS": "-Xnonsense"}
    with subprocess.Popen([sys.executable, "-P", "-c", PARENT, str(folder), str(pid_file)], env=environment) as parent:
        wait_until(lambda: pid_file.exists() and bool(pid_file.read_text()), 120)
        assert (folder / "node-1" / "data" / "__cluster_metadata-0").is_dir()
        assert (folder / "node-1" / "logs" / "server.log").stat().st_size
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGSTOP)
        parent.kill()
        parent.wait()
    assert leftovers.end(folder, 30) == [pid]
    wait_until(lambda: leftovers.end(folder) == [], 10)
