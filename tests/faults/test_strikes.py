"""Every fault of `standfast bench failover`, in short: another process answers, no request is lost or doubled."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from bench.failover.campaign import Failover, failover, own_system
from bench.rows import ROWS
from bench.rows.faults import Strikes
from consumers.service import service
from drills.faults import FAULTS
from drills.faults.running_system import RunningSystem
from standfast.core.settings import KafkaSettings, Settings
from tests.support.toys.toys import Toys
from tests.waiting import wait_until

TOYS_ALONE = "tests.support.toys.toy_alone"
ON_A_RUNNING_SYSTEM = sorted(
    {row.measure.strike for row in ROWS if isinstance(row.measure, Strikes)}
    & {name for name, strike in FAULTS.items() if strike.brokers is None}
)


def holds(result: Failover) -> None:
    """Asserts that no request is lost, doubled or out of order, and that another process answered after each fault."""
    assert (result.lost, result.doubled, result.out_of_order, result.not_ok) == (0, 0, 0, {})
    assert max(result.figure_ms) < math.inf
    assert max(result.waited_ms) < math.inf
    assert None not in result.rto_ms
    assert result.requests > 100


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
    result = failover(RunningSystem(toys.settings, service("search", toys.settings)), name, 2, 100.0, 0.5)
    holds(result)
    assert len(before - set(toys.pids())) >= 2
    kept = toys.home / "run" / "suspects-search.json"
    wait_until(lambda: not kept.exists() or kept.read_bytes() == b"[]", 20, what="the end of all suspicion")


@pytest.mark.timeout(300)
def test_the_supervisor_is_killed_and_started_again(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    settings = Settings(kafka=KafkaSettings(partitions=4))
    with own_system(settings, "search", 1, tmp_path_factory.mktemp("alone"), TOYS_ALONE) as system:
        before = system.status().supervisor_pid
        holds(failover(system, "supervisor", 1, 50.0, 1.0))
        assert system.status().supervisor_pid != before
