"""The benchmark kills one of two hosts and times the first answers of the other; none is lost or doubled."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench.failover.campaign import failover
from bench.failover.two_hosts import two_hosts
from consumers.service import service
from drills.faults.host import HOST
from drills.faults.running_system import RunningSystem
from standfast.core.errors import DrillRejected
from standfast.core.services.search import SearchSettings
from standfast.core.settings import KafkaSettings, Settings

TOYS = "tests.support.toys.toy_system"


@pytest.mark.timeout(300)
def test_the_other_host_answers_for_the_killed_one(tmp_path: Path) -> None:
    (tmp_path / "home" / "models").mkdir(parents=True)
    settings = Settings(kafka=KafkaSettings(partitions=4), search=SearchSettings(workers=1, standbys=0))
    with two_hosts(settings, "search", tmp_path / "home", TOYS) as system:
        before = system.hosts[0].pids()
        result = failover(system, "host", 1, 50.0, 0.5)
        serving = {worker.pid for worker in system.workers()}
    assert len(serving) == 2
    assert not serving & before, "both hosts serve again, the killed one with new processes"
    assert (result.lost, result.doubled, result.out_of_order, result.not_ok) == (0, 0, 0, {})
    assert 500 < result.worst_ms < math.inf, "no sooner than its session ends"


def test_a_host_that_does_not_run_is_not_killed(state: Path) -> None:
    with pytest.raises(DrillRejected, match="the system that is to be killed does not run"):
        HOST.make(RunningSystem(Settings(), service("search", Settings())), HOST.aim()).choose()
