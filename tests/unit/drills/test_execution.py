"""A drill's thread: what it writes before the fault, and that it emits a last event whatever goes wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consumers.service import service
from drills import catalogue
from drills.control.events import FINAL
from drills.evidence.history import Fault, History, Request, Sighting
from drills.evidence.verdict import Finding
from drills.faults import FAULTS
from drills.faults.injector import Injector, Target
from drills.faults.running_system import RunningSystem
from drills.running import execution, go_ahead, strike
from drills.running.execution import Execution
from drills.running.intents import DrillKey, decoded
from drills.running.plan import make_plan
from schemas.records import DrillCommand, DrillEvent
from standfast.core.errors import DrillRejected
from standfast.core.settings import KafkaSettings, Settings
from tests.support.toys import toy_fault
from tests.waiting import wait_until

SETTINGS = Settings(kafka=KafkaSettings(topic_prefix="x."))
WHOSE = DrillKey("x.drills.results", "d1", None)


class FakeLoad:
    """A load with one answered request, which recovers at once after the fault."""

    broken = None

    def __init__(self, *_: object, **_more: object) -> None:
        now = time.monotonic()
        answer = Sighting(at=now, partition=0, offset=0, status="ok")
        self._requests = (Request("d1-0", 0, now, now, "acked", 0, (answer,)),)
        self.faults: tuple[Fault, ...] = ()

    def start(self) -> None: ...

    def stop_sending(self) -> None: ...

    def close(self) -> None: ...

    def send_now(self, partitions: object) -> None: ...

    def unanswered(self, _: float | None = None) -> int:
        return 0

    def recovered(self) -> bool:
        return True

    def struck(self, fault: Fault) -> None:
        self.faults = (fault,)

    def healed(self, fault: Fault, at: float) -> None: ...

    def so_far(self) -> History:
        return self.history()

    def history(self) -> History:
        return History(self._requests, faults=self.faults, ended=time.monotonic())


class Toy(toy_fault.Mark):
    """The toy fault without a system; `called` records `inject`."""

    called: list[str]

    def choose(self) -> Target:
        self._target = Target("mark", (), ((0,),))
        return self._target

    def inject(self) -> Fault:
        self.called.append("inject")
        return super().inject()


class ToyDrill:
    """One drill with the toy fault; the test plays the runner."""

    def __init__(
        self,
        *,
        method: str = "[{fault: mark}]",
        stop_when: str = "[]",
        acknowledges: bool = True,
        restore_within_s: float = 0.5,
        **overridden: Callable[..., Any],
    ) -> None:
        self.events: list[DrillEvent] = []
        self.called: list[str] = []
        self._acknowledges = acknowledges
        kind = type("Made", (Toy,), {"called": self.called, **overridden})
        FAULTS["mark"] = replace(toy_fault.MARK, make=kind)
        text = f"title: t\nwhy: w\nmethod: {method}\nstop_when: {stop_when}\n"
        (catalogue.own_folder() / "toy.yaml").write_text(
            text.replace("fault: mark", "fault: mark, params: {lasts_s: 0}")
        )
        command = DrillCommand(drill="toy", params={"restore_within_s": restore_within_s})
        plan = replace(make_plan(command, "d1", SETTINGS), before_s=0, after_s=0)
        self.is_replaced = False
        system = RunningSystem(SETTINGS, service("search", SETTINGS))
        injectors = [fault.kind.make(system, fault.aim) for fault in plan.faults]
        self.execution = Execution(plan, SETTINGS, self._emitted, injectors, dict, lambda: self.is_replaced)
        self.execution._undo_within_s = 0.3

    def _emitted(self, event: DrillEvent) -> None:
        self.events.append(event)
        if event.intent is not None and self._acknowledges:
            self.execution.intent_is_written()

    def ended(self) -> DrillEvent:
        """The last event."""
        self.execution.start()
        clearing = threading.Thread(target=self._clear, daemon=True)
        clearing.start()
        wait_until(lambda: not self.execution.running(), what="the end of the drill")
        assert [event.phase for event in self.events if event.phase in FINAL] == [self.events[-1].phase]
        return self.events[-1]

    def _clear(self) -> None:
        while self.execution.running():
            self.execution.clear()
            time.sleep(0.01)


@pytest.fixture(autouse=True)
def no_system(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(injector: Injector, *_: object) -> Target:
        return injector.choose()

    monkeypatch.setattr(execution, "Load", FakeLoad)
    monkeypatch.setattr(strike, "chosen", chosen)
    monkeypatch.setattr(execution, "SETTLE_S", 0.0)
    monkeypatch.setitem(FAULTS, "mark", toy_fault.MARK)


def raising(error: Exception) -> Callable[..., Any]:
    def method(*_: object) -> None:
        raise error

    return method


def test_the_intent_is_acknowledged_before_the_fault() -> None:
    seen: list[list[str]] = []

    def inject(toy: Toy) -> Fault:
        seen.append([event.phase for event in drill.events])
        return Toy.inject(toy)

    drill = ToyDrill(inject=inject)
    last = drill.ended()
    assert seen == [["steady_state"]]
    intent = decoded(drill.events[0].intent or "")
    assert intent.whose == WHOSE
    assert (intent.faults[0].fault, intent.service, intent.faults[0].target.partitions) == ("mark", "search", (0,))
    assert (last.phase, last.injected, last.undone) == ("completed", "passed", "passed")
    assert not toy_fault.mark().exists()


def test_nothing_is_injected_without_an_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(go_ahead, "_WRITTEN_WITHIN_S", 0.2)
    drill = ToyDrill(acknowledges=False)
    last = drill.ended()
    assert (last.phase, last.injected, drill.called) == ("rejected", None, [])
    assert "nothing was injected: Kafka did not acknowledge within 0.2 s" in (last.reason or "")


def test_nothing_is_injected_when_another_runner_has_ended_the_drill() -> None:
    """The other runner has fenced this one while this one was stopped."""
    drill = ToyDrill()
    drill.is_replaced = True
    last = drill.ended()
    assert (last.phase, drill.called) == ("rejected", [])
    assert "another drill runner has taken over" in (last.reason or "")


def test_a_fault_that_breaks_down_half_way_is_taken_away() -> None:
    def inject(toy: Toy) -> Fault:
        Toy.inject(toy)
        raise RuntimeError("half way")

    last = ToyDrill(inject=inject).ended()
    assert (last.phase, last.injected, last.undone) == ("aborted", "unknown", "passed")
    assert "half way" in (last.reason or "")
    assert not toy_fault.mark().exists()


def test_a_fault_that_refuses_has_done_nothing_and_one_that_refuses_later_is_taken_away() -> None:
    last = ToyDrill(inject=raising(DrillRejected("ended by itself"))).ended()
    assert (last.phase, last.injected, last.reason) == ("rejected", None, "ended by itself")
    last = ToyDrill(injected=raising(DrillRejected("cannot look"))).ended()
    assert (last.phase, last.injected, last.undone) == ("aborted", "unknown", "passed")
    assert not toy_fault.mark().exists()


def test_an_undo_that_fails_is_a_finding_and_the_last_event_comes() -> None:
    last = ToyDrill(undo=raising(RuntimeError("stuck"))).ended()
    assert (last.phase, last.verdict, last.undone) == ("completed", "failed", "failed")
    assert any("could not be taken away (RuntimeError: stuck)" in finding for finding in last.findings or ())
    last = ToyDrill(undo=raising(RuntimeError("stuck")), lasted=raising(ValueError("broken"))).ended()
    assert (last.phase, last.injected, last.undone) == ("aborted", "passed", "failed")
    assert "broken" in (last.reason or "")
    last = ToyDrill(undone=raising(RuntimeError("blind")), lasted=raising(ValueError("broken"))).ended()
    assert (last.phase, last.undone) == ("aborted", "unknown")


def test_an_undo_that_fails_at_first_is_tried_again() -> None:
    tries: list[int] = []

    def undo(toy: Toy) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError("not yet")
        Toy.undo(toy)

    drill = ToyDrill(restore_within_s=60.0, undo=undo)
    assert drill.ended().undone == "passed"
    assert len(tries) == 3


def test_a_drill_that_is_stopped_is_undone_however_short_the_time_for_it_is() -> None:
    def lasted(_: Toy) -> bool:
        drill.execution.stop("called off", 0)
        return False

    drill = ToyDrill(lasted=lasted)
    last = drill.ended()
    assert (last.phase, last.reason, last.undone) == ("aborted", "called off", "passed")
    assert not toy_fault.mark().exists()


def test_the_finding_of_an_undo_outlives_a_second_stop() -> None:
    def lasted(_: Toy) -> bool:
        drill.execution.stop("called off", 5)
        return False

    def undone(_: Toy) -> Finding:
        drill.execution.stop("the runner ends", 0)
        return Finding("failed", "it is still there")

    drill = ToyDrill(lasted=lasted, undone=undone)
    last = drill.ended()
    assert (last.phase, last.undone) == ("aborted", "failed")


def test_the_faults_of_a_method_are_injected_in_its_order_each_after_its_intent() -> None:
    drill = ToyDrill(method="[{fault: mark}, {wait_s: 0.05}, {fault: mark}]")
    last = drill.ended()
    assert [event.phase for event in drill.events] == [
        "steady_state", "injected", "observing", "injected", "observing", "recovered", "rolled_back", "completed",
    ]  # fmt: skip
    assert [len(decoded(event.intent).faults) for event in drill.events if event.intent] == [1, 2]
    assert (last.injected, last.undone) == ("passed", "passed")
    assert not toy_fault.mark().exists()


def test_a_fault_with_an_end_is_undone_before_the_next_step() -> None:
    seen: list[bool] = []

    def choose(toy: Toy) -> Target:
        seen.append(toy_fault.mark().exists())
        return Toy.choose(toy)

    drill = ToyDrill(method="[{fault: mark, for_s: 0.05}, {fault: mark}]", choose=choose)
    assert drill.ended().undone == "passed"
    assert seen == [False, False, False], "the first one twice, then the second one"


def test_branches_strike_beside_each_other() -> None:
    drill = ToyDrill(method="[{parallel: [[{wait_s: 0.2}, {fault: mark}], [{fault: mark}]]}]")
    assert (drill.ended().phase, len(drill.called)) == ("completed", 2)


def test_a_second_fault_that_cannot_be_made_aborts_the_drill_and_the_first_one_is_undone() -> None:
    calls: list[int] = []

    def inject(toy: Toy) -> Fault:
        calls.append(1)
        if len(calls) == 2:
            raise DrillRejected("its victim ended by itself")
        return Toy.inject(toy)

    last = ToyDrill(method="[{fault: mark}, {fault: mark}]", inject=inject).ended()
    assert (last.phase, last.reason, last.undone) == ("aborted", "its victim ended by itself", "passed")
    assert not toy_fault.mark().exists()


def test_a_stop_condition_ends_the_drill_and_undoes_its_faults() -> None:
    condition = "[{probe: answered_share, at_least: 0.5, min_samples: 1}]"
    last = ToyDrill(method="[{fault: mark}, {wait_s: 60}]", stop_when=condition).ended()
    assert (last.phase, last.undone) == ("aborted", "passed")
    assert "stopped by its own condition: answered_share 1 over 1 requests" in (last.reason or "")


def test_a_drill_that_is_called_off_in_the_middle_of_its_method_is_undone() -> None:
    drill = ToyDrill(method="[{fault: mark}, {wait_s: 60}, {fault: mark}]")
    drill.execution._undo_within_s = 30.0
    threading.Thread(
        target=lambda: (wait_until(toy_fault.mark().exists), drill.execution.stop("called off", 30))
    ).start()
    last = drill.ended()
    assert (last.phase, last.reason, last.undone, len(drill.called)) == ("aborted", "called off", "passed", 1)
