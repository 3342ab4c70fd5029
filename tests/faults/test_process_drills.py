"""Drills on processes other than a worker's death, on a whole system: who lives on, who comes back, who is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.records import DrillEvent
from tests.support.drill_stage import DrillStage
from tests.support.toys.toys import Toys
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(600)
QUICK = {
    "service": "search",
    "before_s": 1.5,
    "after_s": 2.5,
    "rate": 80.0,
    "p99_ms": 60_000.0,
    "rto_ms": 60_000.0,
    "recover_within_s": 90.0,
    "restore_within_s": 90.0,
}
SLOW = pytest.mark.slow


class WholeToys(Toys):
    """With the stream processor, the profiles' follower and the drill runner."""

    module = "tests.support.toys.toy_whole"


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    made = WholeToys(
        tmp_path_factory.mktemp("processes") / "home",
        broker,
        f"processes{time.time_ns()}.",
        ("search",),
        STANDFAST_WORKERS__STUCK_AFTER_S="3",
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture
def stage(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> Iterator[DrillStage]:
    monkeypatch.setenv("STANDFAST_HOME", str(toys.home))
    wait_until(lambda: is_whole(toys), 120, what="a whole system")
    stage = DrillStage(toys.settings)
    yield stage
    stage.close()


def is_whole(toys: Toys) -> bool:
    status = toys.status()
    return (
        status.state == "ready"
        and bool(toys.standbys())
        and {row.id for row in status.roles if row.state == "running"}
        == {"profiles", "catalogue", "models", "stream", "drills", "agent"}
    )


def run(stage: DrillStage, drill: str, **fields: object) -> DrillEvent:
    last = stage.verdict(drill, QUICK, **fields)
    assert (last.lost, last.duplicated) == (0, 0), last
    return last


def holds(last: DrillEvent) -> None:
    seen = (last.verdict, last.injected, last.held, last.undone)
    assert seen == ("passed", "passed", "passed", "passed"), last.findings


def pids(toys: Toys) -> dict[str, int]:
    status = toys.status()
    return {row.id: row.pid for row in (*toys.active(), *status.roles)}


def test_a_short_freeze_replaces_nobody(stage: DrillStage, toys: Toys) -> None:
    before = pids(toys)
    last = run(stage, "worker-short-freeze")
    if last.injected == "passed":  # else this machine was too busy to make a short one
        holds(last)
        assert pids(toys) == before


def test_a_worker_whose_loop_stands_still_is_noticed_and_replaced(stage: DrillStage, toys: Toys) -> None:
    before = {row.id: row.pid for row in toys.active()}
    holds(run(stage, "worker-poll-stall"))
    assert {row.id: row.pid for row in toys.active()} != before
    assert toys.logged("its loop has made no step for 3 s") == 1


@pytest.mark.parametrize("role", ["stream", pytest.param("profiles", marks=SLOW)])
def test_a_role_is_killed_and_only_that_is_started_again(stage: DrillStage, toys: Toys, role: str) -> None:
    before = pids(toys)
    holds(run(stage, f"{role}-kill"))
    now = pids(toys)
    assert {name for name in now if now[name] != before.get(name)} == {role}


def test_a_nursery_is_killed_and_the_service_is_whole_again(stage: DrillStage, toys: Toys) -> None:
    (before,) = toys.nurseries()
    holds(run(stage, "nursery-kill"))
    assert toys.nurseries() != [before]


@SLOW
def test_a_worker_in_a_crash_loop_is_reported_and_comes_back(stage: DrillStage, toys: Toys) -> None:
    last = run(stage, "worker-crash-loop")
    holds(last)
    assert any("killed 6 times; the status said" in finding for finding in last.findings or ()), last
    assert all(Path(f"/proc/{pid}").exists() for pid in pids(toys).values())
