"""The whole system is stopped, killed or cut off from Kafka, and started again: no request is lost or doubled."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from standfast.kafka.cluster import Cluster
from tests.support.history import RequestHistory
from tests.support.toys.toys import Toys, is_alive
from tests.waiting import wait_until

_OUTAGE_S = 15.0  # longer than transaction.timeout.ms, 10 s


@pytest.fixture
def toys(broker: str, unique: str, tmp_path: Path) -> Iterator[Toys]:
    made = Toys(tmp_path / "home", broker, f"{unique}.", ("search",))
    made.start()
    yield made
    made.stop()


def loading(history: RequestHistory, count: int, rate: float) -> threading.Thread:
    """Sends requests in the background."""
    thread = threading.Thread(target=history.load, args=(count, rate))
    thread.start()
    return thread


def test_a_system_stopped_under_load_and_started_again(toys: Toys) -> None:
    with RequestHistory(toys.settings, "stop") as history:
        load = loading(history, 800, 100)
        wait_until(lambda: len(history.seen) > 100, 60, what="answers before the stop")
        gone = toys.pids()
        toys.stop(signal.SIGTERM)
        assert not any(is_alive(pid) for pid in gone)
        assert toys.logged("did not stop in time") == 0
        toys.start()
        load.join(120)
        history.exactly_once()


def test_a_killed_supervisor_leaves_nobody_behind_and_what_waited_is_answered(toys: Toys) -> None:
    with RequestHistory(toys.settings, "kill") as history:
        load = loading(history, 800, 100)
        wait_until(lambda: len(history.seen) > 100, 60, what="answers before the kill")
        gone = [*toys.pids(), *toys.nurseries()]
        toys.stop(signal.SIGKILL)
        wait_until(lambda: not any(is_alive(pid) for pid in gone), 30, what="the end of its children")
        toys.start()
        load.join(120)
        history.exactly_once()


def test_a_nursery_killed_and_then_its_supervisor(toys: Toys) -> None:
    """Not even a stopped worker is left, although its nursery could not take it along."""
    before, (nursery,) = toys.pids(), toys.nurseries()
    stopped = toys.active()[0].pid
    toys.kill(nursery)
    wait_until(lambda: not is_alive(nursery), 20, what="the end of the nursery")
    toys.kill(stopped, signal.SIGSTOP)
    toys.stop(signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in before), 30, what="the end of the workers")


def test_a_crash_loop_waits_longer_and_says_so(toys: Toys) -> None:
    """Four poison records in one partition kill its worker eight times, each record two of them."""
    with RequestHistory(toys.settings, "loop") as history:
        (partition, *_) = toys.active()[0].partitions[toys.topic("search.requests")]
        poison = [history.send("die", partition) for _ in range(4)]
        good = [history.send("heart", partition) for _ in range(4)]
        wait_until(lambda: "backing_off" in {worker.state for worker in toys.status().workers}, 90, what="a back-off")
        history.exactly_once(besides=tuple(poison))
        assert [len(history.answers(request_id)) for request_id in good] == [1, 1, 1, 1]
        assert toys.logged("worker keeps dying; its next start waits") > 0
        toys.whole()


def test_a_kafka_that_stands_still_for_a_while(unique: str, tmp_path: Path) -> None:
    """15 s, longer than a commit may take: the workers must find out afterwards whether their last commit was done."""
    with Cluster(brokers=1, folder=tmp_path / "kafka") as cluster:
        toys = Toys(tmp_path / "home", cluster.bootstrap_servers, f"{unique}.", ("search",))
        toys.start()
        try:
            with RequestHistory(toys.settings, "still") as history:
                load = loading(history, 3000, 100)
                wait_until(lambda: len(history.seen) > 200, 60, what="answers before the outage")
                (node,) = cluster.nodes
                assert node.pid is not None
                toys.kill(node.pid, signal.SIGSTOP)
                time.sleep(_OUTAGE_S)
                toys.kill(node.pid, signal.SIGCONT)
                load.join(150)
                history.exactly_once()
            toys.whole()
        finally:
            toys.stop()
