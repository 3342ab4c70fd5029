"""What the Chaos Toolkit (1.19.0, lib 1.44.0) was measured to get wrong, one test a row: here no verdict flatters.

It ends with exit code 0 for a drill whose fault never happened, for a service that failed while the fault lasted, and
for one that was broken before; it leaves faults where they are; and a runner that is killed leaves no trace.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka.admin import AdminClient, ClusterMetadata

from drills import catalogue
from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults import FAULTS
from drills.faults.brokers import in_sync
from drills.reports.exit_code import DEVIATED, NOT_INJECTED, NOT_UNDONE, REJECTED, exit_code
from schemas.records import DrillEvent
from standfast import topics
from standfast.core import clients
from standfast.core.processes.stillness import is_stopped
from standfast.core.settings import KafkaSettings, Settings
from tests.support.drill_stage import DrillStage, RoleProcess, runner_in_a_thread
from tests.support.small_system import SmallSystem
from tests.support.toys.toy_fault import MARK, Mark, mark

QUICK = {"rate": 100.0, "before_s": 1.0, "after_s": 1.0, "p99_ms": 30_000, "rto_ms": 30_000}
MORTAL = "tests.support.mortals.mortal"  # knows the toy faults too
FROZEN = """
title: Stops a worker for a while.
why: Its requests wait meanwhile, and are answered afterwards.
method: [{{fault: hang, target: {{worker: search-0}}, params: {{at_most_s: {seconds}}}}}]
{more}
"""
MARKED = "title: Leaves a mark.\nwhy: To be seen or not.\nmethod: [{fault: mark}]\n"


class Silent(Mark):
    """An action that reports success and has done nothing, as one whose process exits with 3."""

    def inject(self) -> Fault:
        mark().unlink(missing_ok=True)
        return self._target.struck("mark", self._at)


class Raising(Mark):
    """An action that raises."""

    def inject(self) -> Fault:
        raise RuntimeError("the action failed")


class Staying(Mark):
    """An action whose rollback does nothing."""

    def undo(self) -> None:
        return

    def undone(self) -> Finding:
        return Finding("failed" if mark().exists() else "passed", "the mark was looked for")


@pytest.fixture(scope="module")
def stage(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrillStage]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STANDFAST_HOME", str(tmp_path_factory.mktemp("state")))
        settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix="believed.", partitions=3))
        topics.apply(AdminClient(clients.base(settings, "test")), settings.kafka)
        made = DrillStage(settings)
        yield made
        made.close()


@pytest.fixture(scope="module")
def system(stage: DrillStage) -> Iterator[SmallSystem]:
    with SmallSystem(stage.settings) as running:
        yield running


@pytest.fixture(autouse=True)
def no_mark(stage: DrillStage) -> Iterator[None]:
    yield
    mark().unlink(missing_ok=True)


def frozen(name: str, seconds: float, more: str) -> str:
    (catalogue.own_folder() / f"{name}.yaml").write_text(FROZEN.format(seconds=seconds, more=more))
    return name


def marked(monkeypatch: pytest.MonkeyPatch, make: Any) -> str:
    monkeypatch.setitem(FAULTS, "mark", replace(MARK, make=make))
    (catalogue.own_folder() / "toy-mark.yaml").write_text(MARKED)
    return "toy-mark"


def ran(stage: DrillStage, drill: str, drill_id: str, **params: float) -> DrillEvent:
    """The last event of this drill, run by a runner of its own."""
    with runner_in_a_thread(stage.settings):
        stage.order(drill=drill, drill_id=drill_id, params=QUICK | params)
        return stage.last(drill_id)


def test_a_service_that_was_broken_before_is_rejected_and_not_broken_further(
    stage: DrillStage, system: SmallSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There: completed, not deviated, exit code 0, and rollbacks of what was never done."""
    pid = system.pids()["search-0"]
    os.kill(pid, signal.SIGSTOP)
    try:
        last = ran(stage, marked(monkeypatch, Mark), "broken-before", answer_within_s=0.5)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert exit_code(last) == REJECTED
    assert "injected" not in stage.phases("broken-before")
    assert not mark().exists()


def test_a_service_that_fails_only_while_the_fault_lasts_has_deviated(stage: DrillStage, system: SmallSystem) -> None:
    """There: 9 of 10 continuous checks false, not deviated, exit code 0, because it was healthy again afterwards."""
    more = "hypothesis: [{probe: max_ms, in: during, at_most: 400}, {probe: error_share, equals: 0}]"
    last = ran(stage, frozen("brief-outage", 1.5, more), "broken-meanwhile")
    assert exit_code(last) == DEVIATED
    assert (last.injected, last.held, last.undone) == ("passed", "failed", "passed"), last
    assert last.lost == 0


def test_a_drill_that_is_stopped_because_the_service_fails_undoes_its_fault(
    stage: DrillStage, system: SmallSystem
) -> None:
    """There, with --fail-fast: exit code 1, and the fault stays, as rollbacks are skipped."""
    more = "stop_when: [{probe: answered_share, in: during, at_most: 0.6}]"
    last = ran(stage, frozen("long-outage", 60, more), "stopped")
    assert last.phase == "aborted"
    assert exit_code(last) != 0
    assert (last.injected, last.undone) == ("passed", "passed"), last
    assert not is_stopped(system.pids()["search-0"])


@pytest.mark.parametrize("make", [Raising, Silent])
def test_a_fault_that_did_not_happen_is_no_drill_that_was_passed(
    stage: DrillStage, system: SmallSystem, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    """There: an action that raises, or whose process exits with 3, is `completed` or `succeeded`, exit code 0."""
    last = ran(stage, marked(monkeypatch, make), f"not-injected-{make.__name__.lower()}")
    assert last.injected != "passed"
    assert last.verdict != "passed"
    assert exit_code(last) in ({NOT_INJECTED} if make is Silent else {NOT_INJECTED, NOT_UNDONE, 2})


def test_an_undo_that_leaves_the_fault_is_told(
    stage: DrillStage, system: SmallSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There: rollbacks are not verified."""
    last = ran(stage, marked(monkeypatch, Staying), "not-undone", restore_within_s=0.5)
    assert (last.injected, last.undone) == ("passed", "failed"), last
    assert last.verdict == "failed"
    assert exit_code(last) == NOT_UNDONE


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_runner_that_is_ended_leaves_no_fault_and_exactly_one_outcome(
    stage: DrillStage, system: SmallSystem, how: signal.Signals
) -> None:
    """There: after SIGTERM rollbacks are not run; after SIGKILL there is not even a journal."""
    drill_id = f"ended-by-{how.name.lower()}"
    with RoleProcess(stage.settings, MORTAL, "runner") as runner, RoleProcess(stage.settings, MORTAL, "agent"):
        stage.order(drill="toy-mark", drill_id=drill_id, params=QUICK | {"lasts_s": 60})
        stage.reached(drill_id, "injected")
        assert mark().exists()
        runner.end(how)
        assert mark().exists() == (how == signal.SIGKILL)
        assert "injected" in stage.phases(drill_id), "what was done is written as it is done"
        runner.start()
        last = stage.last(drill_id)
    assert (last.phase, last.injected, last.undone) == ("aborted", "passed", "passed"), last
    assert not mark().exists()
    assert stage.phases(drill_id).count("aborted") == 1


def test_replicas_are_in_sync_whatever_their_order() -> None:
    """There, in its Kafka extension, the two lists are compared in order."""

    def metadata(replicas: list[int], isrs: list[int]) -> ClusterMetadata:
        partition = SimpleNamespace(replicas=replicas, isrs=isrs)
        return cast(ClusterMetadata, SimpleNamespace(topics={"t": SimpleNamespace(partitions={0: partition})}))

    assert in_sync(metadata([1, 2, 3], [3, 1, 2]))
    assert not in_sync(metadata([1, 2, 3], [3, 1]))
