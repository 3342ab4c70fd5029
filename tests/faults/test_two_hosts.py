"""Two supervisors on one Kafka, each with its own processes: when one host dies, the other serves its partitions."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from standfast.core.hosts.host_statuses import HostStatuses
from tests.support.history import RequestHistory
from tests.support.toys.toys import PARTITIONS, Toys
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def hosts(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Toys, Toys]]:
    made = [
        Toys(
            tmp_path_factory.mktemp(f"host-{name}"),
            broker,
            "hosts.",
            ("search",),
            STANDFAST_WORKERS__HOST=name,
            STANDFAST_WORKERS__SESSION_TIMEOUT_MS="1000",
            STANDFAST_SEARCH__WORKERS="1",
        )
        for name in ("a", "b")
    ]
    for host in made:
        host.start()
    yield made[0], made[1]
    for host in made:
        host.stop()


def owned(host: Toys) -> int:
    return sum(len(row.partitions.get(host.topic("search.requests"), ())) for row in host.active())


def heard(statuses: HostStatuses) -> dict[str, bool]:
    """Host name → whether the host is gone."""
    statuses.update(0.05)
    return {seen.host.rpartition("-")[0]: seen.gone for seen in statuses.hosts()}


def test_when_a_whole_host_is_killed_the_other_answers_for_it(hosts: tuple[Toys, Toys], unique: str) -> None:
    first, second = hosts
    wait_until(lambda: owned(first) and owned(second), 60, what="both hosts with partitions of their own")
    with RequestHistory(first.settings, unique) as history, HostStatuses(first.settings) as statuses:
        wait_until(lambda: heard(statuses) == {"a": False, "b": False}, what="both hosts on the topic")
        history.load(100, 100)
        os.kill(first.status().supervisor_pid, signal.SIGKILL)
        history.load(300, 100)
        history.exactly_once()
        wait_until(lambda: owned(second) == PARTITIONS, 60, what="one host with all partitions")
        wait_until(lambda: heard(statuses) == {"a": True, "b": False}, what="a host that is gone")
        first.stop(signal.SIGKILL)
        first.start()
        wait_until(lambda: heard(statuses) == {"a": False, "b": False}, what="both hosts on the topic again")
        wait_until(lambda: owned(first) and owned(second), 60, what="both hosts again")
        history.load(100, 100)
        history.exactly_once()
    assert second.logged("another host is gone") == 1
