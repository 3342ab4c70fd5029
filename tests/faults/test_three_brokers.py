"""Faults on one of three brokers, on a system of its own: they are seen, undone, and held against."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench.failover.campaign import failover, own_system
from drills.faults import FAULTS
from drills.faults.running_system import RunningSystem
from standfast.core.settings import KafkaSettings, Settings
from tests.faults.test_strikes import TOYS_ALONE, holds
from tests.support.drill_stage import DrillStage, runner_in_a_thread
from tests.support.healing import aimed, healed
from tests.support.injecting import injected_by_the_killed
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(400)
# Below min ISR freezes a broker too, and does more; each of these takes some seconds.
FREEZE = pytest.param("broker-freeze", marks=pytest.mark.slow)
QUICK = {"before_s": 2.0, "after_s": 4.0, "rate": 50.0, "p99_ms": 6e4, "rto_ms": 6e4, "recover_within_s": 90.0}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("three")


@pytest.fixture(scope="module")
def three(home: Path) -> Iterator[RunningSystem]:
    settings = Settings(kafka=KafkaSettings(partitions=4))
    with own_system(settings, "search", 3, home, TOYS_ALONE) as system:
        yield system


@pytest.fixture
def system(three: RunningSystem, home: Path, monkeypatch: pytest.MonkeyPatch) -> RunningSystem:
    monkeypatch.setenv("STANDFAST_HOME", str(home))
    wait_until(lambda: three.status().state == "ready" and three.standbys(), 90, what="a whole system")
    return three


@pytest.mark.parametrize("name", ["broker", "controller"])
def test_one_broker_of_three_is_killed(three: RunningSystem, name: str) -> None:
    before = {row.id: row.pid for row in three.status().roles}
    holds(failover(three, name, 1, 50.0, 1.0))
    after = {row.id: row.pid for row in three.status().roles}
    assert before.keys() == after.keys()
    assert len(before.items() - after.items()) == 1, "it was started again"


@pytest.mark.parametrize("name", [FREEZE, "broker-below-min-isr", "broker-coordinator"])
def test_a_signal_that_was_not_sent_is_not_seen(
    system: RunningSystem, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(FAULTS[name].make(system, aimed(name))) as injector:
        injector.choose()
        with monkeypatch.context() as broken:
            broken.setattr("drills.faults.process_handle.ProcessHandle.signal", lambda *_: None)
            injector.inject()
            assert injector.injected(0.5).check == "failed"
        if name == "broker-below-min-isr":
            healed(injector, 90)  # the setting alone was changed


@pytest.mark.parametrize("name", [FREEZE, "broker-below-min-isr"])
def test_an_undo_that_does_nothing_is_seen(system: RunningSystem, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(FAULTS[name].make(system, aimed(name))) as injector:
        injector.choose()
        injector.inject()
        assert injector.injected(20).check == "passed"
        with monkeypatch.context() as broken:
            broken.setattr("drills.faults.process_handle.ProcessHandle.signal", lambda *_: None)
            injector.undo()
            assert injector.undone().check == "failed", "the broker stands still"
        healed(injector, 90)


@pytest.mark.parametrize("name", [FREEZE, "broker-below-min-isr"])
def test_another_process_undoes_it_when_the_first_one_was_killed(system: RunningSystem, home: Path, name: str) -> None:
    wanted = aimed(name)
    kafka = system.settings.kafka
    environment = {
        **os.environ,
        "STANDFAST_HOME": str(home),
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "STANDFAST_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
    }
    target = injected_by_the_killed(name, wanted, environment)
    with closing(FAULTS[name].make(system, wanted)) as injector:
        assert injector.resume(target).check == "passed"
        healed(injector, 90)


@pytest.mark.slow
@pytest.mark.parametrize("drill", ["broker-below-min-isr", "broker-freeze", "broker-coordinator-kill", "broker-bounce"])
def test_the_system_holds(system: RunningSystem, drill: str) -> None:
    stage = DrillStage(system.settings)
    with closing(stage), runner_in_a_thread(system.settings):
        drill_id = f"{drill}-{time.time_ns()}"
        stage.order(drill=drill, drill_id=drill_id, params=QUICK)
        last = stage.last(drill_id, 350)
    told = "\n".join([str(last.reason), str(last.rto_ms), *(last.findings or ())])
    assert (last.verdict, last.lost, last.duplicated) == ("passed", 0, 0), told
