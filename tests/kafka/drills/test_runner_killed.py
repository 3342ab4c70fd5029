"""Runner and agent killed at any step: the fault is undone, and the drill gets exactly one last event."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from drills.agent import files as agent_files
from drills.control.events import FINAL
from drills.evidence.history import Fault
from drills.faults import FAULTS
from drills.faults.process_handle import ProcessHandle
from drills.running import go_ahead
from drills.running import runner as process
from schemas.records import DrillEvent
from standfast import topics
from standfast.core import clients
from standfast.core.settings import DrillSettings, KafkaSettings, Settings
from tests.support.desk import Desk
from tests.support.drill_stage import DrillStage, RoleProcess, runner_in_a_thread
from tests.support.small_system import SmallSystem
from tests.support.toys import toy_fault
from tests.waiting import wait_until

# Objectives that a busy machine meets too; a short wait for recovery, as no worker takes over from a stopped one.
QUICK = {"rate": 60.0, "before_s": 1.0, "after_s": 1.0, "p99_ms": 30_000, "rto_ms": 500, "recover_within_s": 0.5}
MORTAL = "tests.support.mortals.mortal"
LEASE_S = 3.0


@pytest.fixture(scope="module")
def stage(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrillStage]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STANDFAST_HOME", str(tmp_path_factory.mktemp("state")))
        patched.setenv("STANDFAST_DRILLS__LEASE_S", str(LEASE_S))
        settings = Settings(
            kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix="killed.", partitions=3),
            drills=DrillSettings(lease_s=LEASE_S),
        )
        topics.apply(AdminClient(clients.base(settings, "test")), settings.kafka)
        made = DrillStage(settings)
        yield made
        made.close()


@pytest.fixture(scope="module")
def system(stage: DrillStage) -> Iterator[SmallSystem]:
    with SmallSystem(stage.settings) as running:
        yield running


class Roles:
    """The runner and the agent, each in a process that may die at a moment."""

    def __init__(self, stage: DrillStage) -> None:
        self.processes = {role: RoleProcess(stage.settings, MORTAL, role) for role in ("runner", "agent")}
        for role in self.processes.values():
            role.end(signal.SIGKILL)  # each test starts them with its own variables

    def start(self, mortal: str = "", moment: str = "") -> None:
        for name, role in self.processes.items():
            role.start(**({"DIES": moment} if name == mortal else {}))

    def died(self, mortal: str, moment: str) -> None:
        end = self.processes[mortal].process.wait(60)
        assert end == -signal.SIGKILL, f"the {mortal} did not come to the moment {moment!r}"

    def kill(self) -> None:
        for role in self.processes.values():
            role.end(signal.SIGKILL)


@pytest.fixture
def roles(stage: DrillStage) -> Iterator[Roles]:
    made = Roles(stage)
    with ExitStack() as stack:
        for role in made.processes.values():
            stack.enter_context(role)
        yield made


def files() -> list[Path]:
    return sorted(agent_files._folder().iterdir())


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def is_stopped(system: SmallSystem) -> bool:
    held = ProcessHandle("search-0", system.pids()["search-0"])
    try:
        return held.is_stopped()
    finally:
        held.close()


def is_left(system: SmallSystem) -> bool:
    return is_stopped(system) or toy_fault.mark().exists()


def ended(stage: DrillStage, drill_id: str) -> DrillEvent:
    """The last event of the drill; asserts that it is the only one, and that no file is left."""
    last = stage.last(drill_id)
    stage.order(drill="none", drill_id=f"after-{drill_id}")
    stage.last(f"after-{drill_id}")
    assert [phase for phase in stage.phases(drill_id) if phase in FINAL] == [last.phase]
    wait_until(lambda: files() == [], 30, what="no file of a fault is left")
    assert not toy_fault.mark().exists()
    return last


def ordered(stage: DrillStage, drill: str, drill_id: str) -> None:
    extra = {"at_most_s": 60.0} if drill == "toy-hang" else {}
    target = {"worker": "search-0"} if drill == "toy-hang" else {}
    stage.order(drill=drill, drill_id=drill_id, params=QUICK | extra, target=target)


MOMENTS = [
    ("runner", "before inject"),
    ("runner", "after inject"),
    ("runner", "before undo"),
    ("runner", "after undo"),
    ("runner", "before close"),
    ("agent", "before keep"),
    ("agent", "after keep"),
    ("agent", "after inject"),
    ("agent", "before undo"),
    ("agent", "after undo"),
    ("agent", "before forget"),
]
ALONE = [pytest.param(*moment, False, id=f"{' '.join(moment)} alone") for moment in MOMENTS]
# That both die adds nothing but at the moment at which the fault lasts: the rest is run with -m slow.
BOTH = [
    pytest.param(
        *moment, True, id=f"{' '.join(moment)} both", marks=() if moment[1] == "after inject" else pytest.mark.slow
    )
    for moment in MOMENTS
]


@pytest.mark.parametrize(("mortal", "moment", "both"), [*ALONE, *BOTH])
def test_who_is_killed_leaves_nothing_that_is_not_undone(
    stage: DrillStage, system: SmallSystem, roles: Roles, mortal: str, moment: str, both: bool
) -> None:
    drill_id = f"{mortal}-{moment.replace(' ', '-')}-{'both' if both else 'alone'}"
    before = system.pids()
    roles.start(mortal, moment)
    ordered(stage, "toy-hang", drill_id)
    roles.died(mortal, moment)
    if both:
        roles.kill()
    roles.processes[mortal].start()
    if both:
        roles.processes["agent" if mortal == "runner" else "runner"].start()
    last = ended(stage, drill_id)
    assert not is_left(system)
    assert system.pids() == before
    if last.phase == "completed":  # only the agent died: its successor told what it found
        assert last.undone == "passed", last
    else:
        assert last.undone in {"passed", None}, last
        assert last.phase in {"aborted", "rejected"}
    assert (last.verdict == "passed") is False, "a drill whose runner or agent died has shown nothing"


@pytest.mark.parametrize("alive", ["agent", "none"])
def test_without_a_runner_the_fault_ends_by_its_lease(
    stage: DrillStage, system: SmallSystem, roles: Roles, alive: str
) -> None:
    """A runner that is gone for good, with or without the agent; the supervisor starts the agent again."""
    drill_id = f"lease-{alive}"
    roles.start("runner", "after inject")
    ordered(stage, "toy-hang", drill_id)
    roles.died("runner", "after inject")
    assert is_stopped(system)
    if alive == "none":
        roles.processes["agent"].end(signal.SIGKILL)
        assert is_stopped(system)
        roles.processes["agent"].start()
    wait_until(lambda: not is_stopped(system), LEASE_S + 30, what="the end of the lease")
    wait_until(lambda: files() == [], what="no file is left")
    roles.processes["runner"].start()
    last = ended(stage, drill_id)
    assert (last.verdict, last.undone) == ("aborted", "passed"), last


def test_who_is_killed_while_it_undoes_what_another_left_does_no_harm(
    stage: DrillStage, system: SmallSystem, roles: Roles
) -> None:
    roles.start("agent", "after inject")
    ordered(stage, "toy-hang", "twice")
    roles.died("agent", "after inject")
    roles.kill()
    for moment in ("before undo", "after undo"):
        roles.processes["agent"].start(DIES=moment)
        roles.died("agent", moment)
        assert is_stopped(system) == (moment == "before undo")
        assert len(files()) == 1
    roles.start()
    last = ended(stage, "twice")
    assert (last.injected, last.undone) == ("unknown", "passed"), "the worker had been woken when the last one looked"


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
            wait_until(lambda: "drill-unwritten" not in threads(), 60, what="the end of the drill's thread")
        finally:
            desk.configure("drills.results", max_message_bytes=str(10**6))
        last = stage.last("unwritten")
    assert (last.phase, last.injected) == ("rejected", None)
    assert "nothing was injected: Kafka did not acknowledge within 1 s" in (last.reason or "")
    assert system.pids() == before
    assert files() == []


def test_a_runner_stopped_while_kafka_takes_no_event_takes_the_fault_away(
    stage: DrillStage, system: SmallSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(stage.settings)

    class Cutting(toy_fault.Mark):
        """A fault after whose injection Kafka refuses every event."""

        def inject(self) -> Fault:
            fault = super().inject()
            desk.configure("drills.results", max_message_bytes="200")
            return fault

    toy_fault.add_drills()
    monkeypatch.setattr(process, "_STOP_WITHIN_S", 0.5)
    monkeypatch.setitem(FAULTS, "mark", replace(toy_fault.MARK, make=Cutting))
    try:
        with runner_in_a_thread(stage.settings):
            stage.order(drill="toy-mark", drill_id="stopped", params=QUICK | {"lasts_s": 60, "after_s": 60})
            wait_until(lambda: toy_fault.mark().exists(), 30, what="the fault")
        assert not toy_fault.mark().exists()
    finally:
        desk.configure("drills.results", max_message_bytes=str(10**6))
    assert not any(phase in FINAL for phase in stage.phases("stopped"))
    with runner_in_a_thread(stage.settings):
        last = ended(stage, "stopped")
    assert (last.verdict, last.undone) == ("aborted", "passed")
