"""Every strike of `standfast bench failover`, in short: somebody else answers, nothing is lost, nothing is doubled."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from bench.failover.campaign import Failover, failover, own_system
from consumers.service import service
from drills.faults import FAULTS
from drills.faults.running_system import RunningSystem
from standfast.core.settings import KafkaSettings, Settings
from tests.support.toys.toys import Toys
from tests.waiting import wait_until

TOYS_ALONE = "tests.support.toys.toy_alone"
ON_A_RUNNING_SYSTEM = [name for name, strike in FAULTS.items() if strike.brokers is None]


def holds(found: Failover) -> None:
    """The promise, and that each strike was followed by an answer of somebody else."""
    assert (found.lost, found.doubled, found.out_of_order, found.not_ok) == (0, 0, 0, {})
    assert max(found.figure_ms) < math.inf
    assert max(found.waited_ms) < math.inf
    assert None not in found.rto_ms
    assert found.requests > 100


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    made = Toys(tmp_path_factory.mktemp("strikes"), broker, "strikes.", ("search",))
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize("name", ON_A_RUNNING_SYSTEM)
def test_a_running_system_is_struck(toys: Toys, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDFAST_HOME", str(toys.home))
    toys.whole()
    before = set(toys.pids())
    found = failover(RunningSystem(toys.settings, service("search", toys.settings)), name, 2, 100.0, 0.5)
    holds(found)
    assert len(before - set(toys.pids())) >= 2
    kept = toys.home / "run" / "suspects-search.json"
    wait_until(lambda: not kept.exists() or kept.read_bytes() == b"[]", 20, what="the end of all suspicion")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    settings = Settings(kafka=KafkaSettings(partitions=4))
    with own_system(settings, "search", 3, tmp_path_factory.mktemp("three"), TOYS_ALONE) as system:
        yield system


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["broker", "controller"])
def test_one_broker_of_three_is_killed(three: RunningSystem, name: str) -> None:
    before = {row.id: row.pid for row in three.status().roles}
    holds(failover(three, name, 1, 50.0, 1.0))
    after = {row.id: row.pid for row in three.status().roles}
    assert before.keys() == after.keys()
    assert len(before.items() - after.items()) == 1, "it was started again"


@pytest.mark.timeout(300)
def test_the_supervisor_is_killed_and_started_again(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    settings = Settings(kafka=KafkaSettings(partitions=4))
    with own_system(settings, "search", 1, tmp_path_factory.mktemp("alone"), TOYS_ALONE) as system:
        before = system.status().supervisor_pid
        holds(failover(system, "supervisor", 1, 50.0, 1.0))
        assert system.status().supervisor_pid != before
