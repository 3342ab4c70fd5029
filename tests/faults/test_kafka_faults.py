"""Faults on topics and groups, on real processes: seen from outside, undone by whoever comes next, and held against."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from drills.faults import FAULTS, records
from drills.faults.records import Records
from drills.faults.running_system import RunningSystem
from drills.faults.traces import Traces
from schemas.records import DrillEvent
from standfast.core.errors import DrillRejected
from tests.support.drill_stage import DrillStage, runner_in_a_thread
from tests.support.healing import aimed, healed, struck_system
from tests.support.injecting import injected_by_the_killed
from tests.support.toys.toys import Toys
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300)
SLOW = pytest.mark.slow
QUICK = {
    "before_s": 2.0,
    "after_s": 3.0,
    "rate": 50.0,
    "p99_ms": 60_000.0,
    "rto_ms": 60_000.0,
    "recover_within_s": 90.0,
}
SETTINGS = ("kafka-oversize",)
STRANGERS = ("kafka-rebalance-storm", "kafka-lag")
STORM = "load-retry-storm"
RECORDS = ("kafka-poison", "kafka-malformed-avro", "kafka-incompatible-producer", "kafka-hot-key", "load-flood", STORM)


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    made = Toys(tmp_path_factory.mktemp("kafka") / "home", broker, f"kafka{time.time_ns()}.", ("search",))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def system(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> RunningSystem:
    return struck_system(toys, monkeypatch)


@pytest.mark.parametrize("name", [*SETTINGS, *STRANGERS, *RECORDS])
def test_a_fault_that_was_not_injected_is_not_seen(
    system: RunningSystem, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(FAULTS[name].make(system, aimed(name))) as injector:
        monkeypatch.setattr(injector, "strike", lambda: None)
        injector.choose()
        injector.inject()
        assert injector.injected(0.5).check == "failed"
        injector.undo()
        assert injector.undone().check == "passed", "nothing was done, so nothing is left"


@pytest.mark.parametrize("name", [*SETTINGS, *STRANGERS])
def test_an_undo_that_does_nothing_is_seen(system: RunningSystem, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(FAULTS[name].make(system, aimed(name, **({} if name in SETTINGS else {"stay_s": 60})))) as injector:
        injector.choose()
        injector.inject()
        assert injector.injected(10).check == "passed"
        with monkeypatch.context() as broken:
            broken.setattr(injector, "undo", lambda: None)
            injector.undo()
            assert injector.undone().check == "failed"
        healed(injector)


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_nobody_has_answered_or_set_aside_is_seen(
    system: RunningSystem, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(FAULTS[name].make(system, aimed(name))) as injector:
        injector.choose()
        unread = Traces(system.service, sent={"1", "2", "3"}, dead={"1": "it is empty"}, answered={"2": "invalid"})
        monkeypatch.setattr(records, "traces", lambda *_: unread)
        told = injector.undone()
    assert told.check == "failed"
    assert told.text.startswith("1 records are neither answered nor set aside; 3 records written: 1 dead letters")


@pytest.mark.parametrize(
    "name", ["kafka-oversize", "kafka-lag", "kafka-hot-key", "load-flood", pytest.param("kafka-poison", marks=SLOW)]
)
def test_another_process_undoes_it_when_the_first_one_was_killed(system: RunningSystem, toys: Toys, name: str) -> None:
    wanted = aimed(name)
    target = injected_by_the_killed(name, wanted, toys._environment)
    with closing(FAULTS[name].make(system, wanted)) as injector:
        assert injector.resume(target).check == "passed"
        healed(injector)


def test_a_setting_of_the_topics_own_and_one_that_somebody_changed_meanwhile_stay(system: RunningSystem) -> None:
    lowered = FAULTS["kafka-oversize"]
    with closing(lowered.make(system, aimed("kafka-oversize", max_bytes=50_000))) as first:
        first.choose()
        first.inject()
        second_aim = aimed("kafka-oversize", max_bytes=1000)
        with closing(lowered.make(system, second_aim)) as second:
            assert second.choose().before["value"] == "50000"
            second.inject()
            first.undo()
            assert first.undone().check == "unknown", "1000 is neither the value before the first nor the first's"
            healed(second)
        healed(first)
    same = lowered.make(system, aimed("kafka-oversize", max_bytes=1_048_576))
    with closing(same), pytest.raises(DrillRejected, match="is 1048576 already"):
        same.choose()


def test_callers_who_need_not_ask_again_are_no_storm_and_those_who_do_are(system: RunningSystem) -> None:
    for patience_ms, check in ((60_000, "failed"), (5, "passed")):
        with closing(FAULTS[STORM].make(system, aimed(STORM, per_s=100, patience_ms=patience_ms))) as injector:
            injector.choose()
            injector.inject()
            assert injector.injected(5 if check == "passed" else 1).check == check
            healed(injector)


def test_no_kind_of_nasty_record_kills_a_worker_and_each_gets_a_cause(system: RunningSystem, toys: Toys) -> None:
    before = {row.id: row.pid for row in toys.active()}
    for name in ("kafka-poison", "kafka-malformed-avro", "kafka-incompatible-producer"):
        with closing(FAULTS[name].make(system, aimed(name))) as injector:
            assert isinstance(injector, Records)
            injector.choose()
            injector.inject()
            assert injector.injected(10).check == "passed"
            healed(injector)
            seen = injector._look()
            assert seen.sent == seen.dead.keys() | seen.answered.keys()
            if name == "kafka-malformed-avro":
                assert seen.sent == seen.dead.keys(), "what cannot be read is not answered"
    assert {row.id: row.pid for row in toys.active()} == before


def test_a_worker_without_uncommitted_answers_shows_nothing(
    system: RunningSystem,
) -> None:
    name = "kill-before-commit"
    with closing(FAULTS[name].make(system, aimed(name, within_s=0.1))) as injector:
        injector.choose()
        injector.inject()
        found = injector.injected(10)
        assert found.check == "failed", "nobody has asked anything, so there is no answer to commit"
        assert " 0 records in " in found.text
        healed(injector)


def test_a_worker_that_was_left_standing_between_two_tries_goes_on(system: RunningSystem) -> None:
    name = "kill-before-commit"
    wanted = aimed(name)
    with closing(FAULTS[name].make(system, wanted)) as first:
        target = first.choose()
    (victim,) = target.processes
    with closing(FAULTS[name].make(system, wanted)) as second:
        assert second.resume(target).check == "failed", "it was not killed"
        os.kill(victim.pid, signal.SIGSTOP)  # it stands still a moment later, and is replaced if it does so for long
        wait_until(lambda: second.undone().check == "failed", 5, every=0.001, what="a worker that stands still")
        healed(second)


# Drills through the control topic -------------------------------------------------------------------------------------


@pytest.fixture
def stage(system: RunningSystem) -> Iterator[DrillStage]:
    stage = DrillStage(system.settings)
    with runner_in_a_thread(system.settings):
        yield stage
    stage.close()


def run(stage: DrillStage, drill: str, params: dict[str, Any] | None = None) -> DrillEvent:
    lagging = {"after_s": 8.0} if drill == "kafka-lag" else {}
    return stage.verdict(drill, {**QUICK, **lagging, **(params or {})}, within=200)


@pytest.mark.parametrize(
    "drill",
    [
        "kafka-poison",
        "worker-kill-before-commit",
        pytest.param("kafka-lag", marks=SLOW),
        pytest.param("worker-standby-kill", marks=SLOW),
        pytest.param("kafka-rebalance-storm", marks=SLOW),
        pytest.param("kafka-oversize", marks=SLOW),
        pytest.param("kafka-hot-key", marks=SLOW),
        pytest.param("load-flood", marks=SLOW),
        pytest.param(STORM, marks=SLOW),
        pytest.param("kafka-malformed-avro", marks=SLOW),
        pytest.param("kafka-incompatible-producer", marks=SLOW),
    ],
)
def test_the_system_holds(stage: DrillStage, drill: str) -> None:
    last = run(stage, drill)
    assert (last.verdict, last.lost, last.duplicated) == ("passed", 0, 0), told(last)


def test_a_record_that_kills_its_worker_is_set_aside_with_its_cause(stage: DrillStage) -> None:
    last = run(stage, "kafka-poison", params={"value": '{"query": "die"}'})
    assert (last.verdict, last.lost, last.duplicated) == ("passed", 0, 0), told(last)
    assert "1 records written: 1 dead letters" in told(last)


def told(last: DrillEvent) -> str:
    return "\n".join([str(last.reason), *(last.findings or ())])
