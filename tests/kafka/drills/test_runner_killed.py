"""A drill runner killed at any step: the next runner undoes the fault, and the drill gets exactly one last event."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from drills.control.events import FINAL
from drills.evidence.history import Fault
from drills.faults import FAULTS
from drills.faults.process_handle import ProcessHandle
from drills.running import go_ahead, intents
from drills.running import runner as process
from schemas.records import DrillEvent
from standfast import topics
from standfast.core import clients
from standfast.core.settings import KafkaSettings, Settings
from tests.support.desk import Desk
from tests.support.drill_stage import DrillStage, RunnerProcess, runner_in_a_thread
from tests.support.small_system import SmallSystem
from tests.support.toys import toy_fault
from tests.waiting import wait_until

# Objectives that a busy machine meets too; a short wait for recovery, as no worker takes over from a stopped one.
QUICK = {"rate": 60.0, "before_s": 1.0, "after_s": 1.0, "p99_ms": 30_000, "rto_ms": 500, "recover_within_s": 0.5}
MODULE = "tests.support.mortals.mortal_runner"


@pytest.fixture(scope="module")
def stage(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrillStage]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STANDFAST_HOME", str(tmp_path_factory.mktemp("state")))
        settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix="killed.", partitions=3))
        topics.apply(AdminClient(clients.base(settings, "test")), settings.kafka)
        made = DrillStage(settings)
        yield made
        made.close()


@pytest.fixture(scope="module")
def system(stage: DrillStage) -> Iterator[SmallSystem]:
    with SmallSystem(stage.settings) as running:
        yield running


@pytest.fixture
def runner(stage: DrillStage) -> Iterator[RunnerProcess]:
    with RunnerProcess(stage.settings, MODULE) as made:
        made.end(signal.SIGKILL)  # each test starts it with its own variables
        yield made


def died(runner: RunnerProcess, moment: str) -> None:
    assert runner.process.wait(60) == -signal.SIGKILL, f"it did not come to the moment {moment!r}"


def files() -> list[Path]:
    return sorted(intents._folder().iterdir())


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def is_stopped(system: SmallSystem) -> bool:
    held = ProcessHandle("search-0", system.pids()["search-0"])
    try:
        return held.is_stopped()
    finally:
        held.close()


def ended(stage: DrillStage, runner: RunnerProcess, drill_id: str) -> DrillEvent:
    """The last event of the drill, written by the next runner; asserts that it is the only one and no file is left."""
    runner.start()
    last = stage.last(drill_id)
    stage.order(drill="none", drill_id=f"after-{drill_id}")
    stage.last(f"after-{drill_id}")
    assert [phase for phase in stage.phases(drill_id) if phase in FINAL] == ["aborted"]
    assert files() == []
    assert not toy_fault.mark().exists()
    return last


@pytest.mark.parametrize(
    ("drill", "moment", "injected"),
    [
        ("toy-mark", "after keep", "unknown"),
        ("toy-hang", "before inject", "unknown"),
        ("toy-mark", "after inject", "passed"),
        ("toy-hang", "after inject", "passed"),
        ("toy-hang", "before undo", "passed"),
        ("toy-hang", "after undo", "passed"),
    ],
)
def test_a_runner_killed_leaves_nothing_to_the_next_but_to_undo(
    stage: DrillStage, system: SmallSystem, runner: RunnerProcess, drill: str, moment: str, injected: str
) -> None:
    drill_id = f"{drill}-{moment.replace(' ', '-')}"
    before = system.pids()
    extra = {"at_most_s": 0.5, "target": {"worker": "search-0"}} if drill == "toy-hang" else {}
    target = extra.pop("target", {})
    runner.start(DIES=moment)
    stage.order(drill=drill, drill_id=drill_id, params=QUICK | extra, target=target)
    died(runner, moment)
    assert len(files()) == 1
    assert (is_stopped(system), toy_fault.mark().exists()) == {
        ("toy-hang", "after inject"): (True, False),
        ("toy-hang", "before undo"): (True, False),
        ("toy-mark", "after inject"): (False, True),
    }.get((drill, moment), (False, False))
    assert not any(phase in FINAL for phase in stage.phases(drill_id))
    assert ("steady_state" in stage.phases(drill_id)) == (moment != "after keep"), (
        "the intent is in Kafka before the fault"
    )
    last = ended(stage, runner, drill_id)
    assert (last.verdict, last.injected, last.undone) == ("aborted", injected, "passed"), last
    assert not is_stopped(system)
    assert system.pids() == before


def test_who_is_killed_while_it_undoes_what_another_left_does_no_harm(
    stage: DrillStage, system: SmallSystem, runner: RunnerProcess
) -> None:
    runner.start(DIES="after inject")
    stage.order(drill="toy-hang", drill_id="twice", params=QUICK, target={"worker": "search-0"})
    died(runner, "after inject")
    for moment in ("before undo", "after undo"):
        runner.start(DIES=moment)
        died(runner, moment)
        assert is_stopped(system) == (moment == "before undo")
        assert len(files()) == 1
    last = ended(stage, runner, "twice")
    assert (last.injected, last.undone) == ("unknown", "passed"), "the worker had been woken when the last one looked"


def test_the_event_tells_what_is_to_be_undone_where_the_file_is_lost(
    stage: DrillStage, system: SmallSystem, runner: RunnerProcess
) -> None:
    runner.start(DIES="after inject")
    stage.order(drill="toy-hang", drill_id="lost", params=QUICK, target={"worker": "search-0"})
    died(runner, "after inject")
    for file in files():
        file.unlink()
    last = ended(stage, runner, "lost")
    assert (last.injected, last.undone) == ("passed", "passed")
    assert not is_stopped(system)


def test_an_ended_drill_whose_file_stayed_is_undone_and_not_told_again(
    stage: DrillStage, system: SmallSystem, runner: RunnerProcess
) -> None:
    """A runner killed right after it has written the last event leaves the intent's file behind."""
    runner.start(DIES="after keep")
    stage.order(drill="toy-mark", drill_id="stayed", params=QUICK)
    died(runner, "after keep")
    (file,) = files()
    kept = file.read_bytes()
    ended(stage, runner, "stayed")
    runner.end(signal.SIGKILL)
    file.write_bytes(kept)
    file.with_name("damaged.json").write_bytes(b"{")
    toy_fault.mark().touch()
    runner.start()
    stage.order(drill="none", drill_id="after-it-stayed")
    stage.last("after-it-stayed")
    assert [phase for phase in stage.phases("stayed") if phase in FINAL] == ["aborted"]
    assert not toy_fault.mark().exists()
    (aside,) = files()
    assert aside.name == "damaged.json.unreadable"
    aside.unlink()


def test_nothing_is_injected_before_kafka_has_acknowledged_the_intent(
    stage: DrillStage, system: SmallSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(go_ahead, "_WRITTEN_WITHIN_S", 1.0)
    desk, before = Desk(stage.settings), system.pids()
    with runner_in_a_thread(stage.settings):
        stage.order(drill="worker-kill", drill_id="unwritten", params=QUICK | {"before_s": 3.0})
        stage.reached("unwritten", "accepted")
        # From here on Kafka refuses every event; transaction markers, of about 80 bytes, still fit.
        desk.configure("drills.results", max_message_bytes="200")
        try:
            wait_until(files, 30, what="the intent's file")
            wait_until(lambda: "drill-unwritten" not in threads(), 30, what="the end of the drill's thread")
        finally:
            desk.configure("drills.results", max_message_bytes=str(10**6))
        last = stage.last("unwritten")
    assert (last.phase, last.injected) == ("rejected", None)
    assert "nothing was injected: Kafka did not acknowledge within 1 s" in (last.reason or "")
    assert system.pids() == before
    assert files() == []


def test_a_runner_stopped_while_kafka_takes_no_event_takes_the_fault_away(
    stage: DrillStage, runner: RunnerProcess, system: SmallSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(stage.settings)

    class Cutting(toy_fault.Mark):
        """A fault after whose injection Kafka refuses every event."""

        def inject(self) -> Fault:
            fault = super().inject()
            desk.configure("drills.results", max_message_bytes="200")
            return fault

    monkeypatch.setattr(process, "_STOP_WITHIN_S", 0.5)
    monkeypatch.setitem(FAULTS, "mark", replace(toy_fault.MARK, make=Cutting))
    try:
        with runner_in_a_thread(stage.settings):
            stage.order(drill="toy-mark", drill_id="stopped", params=QUICK | {"lasts_s": 60, "after_s": 60})
            wait_until(lambda: toy_fault.mark().exists(), 30, what="the fault")
        assert not toy_fault.mark().exists()
        assert len(files()) == 1
    finally:
        desk.configure("drills.results", max_message_bytes=str(10**6))
    assert not any(phase in FINAL for phase in stage.phases("stopped"))
    last = ended(stage, runner, "stopped")
    assert (last.verdict, last.undone) == ("aborted", "passed")
