"""The supervisor of a running system is killed by a drill whose runner runs elsewhere; it comes back by itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from standfast.core import status
from standfast.core.processes import launching
from tests.faults.test_process_drills import holds, run
from tests.support.drill_stage import DrillStage, runner_in_a_thread
from tests.support.toys.toys import Toys


@pytest.mark.slow  # a minute; tests/unit/drills/test_supervisor_fault.py has the same without a Kafka
@pytest.mark.timeout(600)
def test_a_running_system_is_killed_as_a_whole_and_comes_back(
    broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toys = Toys(tmp_path / "home", broker, f"supervisor{time.time_ns()}.", ("search",))
    toys.start()
    monkeypatch.setenv("STANDFAST_HOME", str(toys.home))
    before = toys.status()
    stage = DrillStage(toys.settings)
    try:
        with runner_in_a_thread(toys.settings):
            holds(run(stage, "supervisor-kill"))
        after = status.read()
        assert after is not None
        assert after.supervisor_pid != before.supervisor_pid
        assert {row.id for row in after.workers if row.role == "active"} == {"search-0", "search-1"}
    finally:
        stage.close()
        if (last := status.read()) is not None:
            assert launching.stop(last)
        toys.stop()
