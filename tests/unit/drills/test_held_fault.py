"""One fault at its agent: injected for a fresh order only, undone by order, by its lease, and after a death."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.service import service
from drills.agent import files, held_fault
from drills.agent.current_runner import CurrentRunner
from drills.agent.files import FaultIntent
from drills.agent.held_fault import HeldFault, left_behind
from drills.agent.messages import FaultName, FaultOrder, FaultReport, boot
from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults import FAULTS
from drills.faults.injector import Target
from drills.faults.running_system import RunningSystem
from drills.running.ordered_fault import OrderedFault
from drills.running.orders import Orders
from drills.running.plan import PlannedFault
from standfast.core.errors import DrillError, DrillRejected
from standfast.core.settings import KafkaSettings, Settings
from tests.support.paper_orders import HOST, TOPIC, PaperOrders
from tests.support.toys import toy_fault
from tests.waiting import wait_until

SETTINGS = Settings(kafka=KafkaSettings(topic_prefix="x."))
NAME = FaultName(drill_id="d1", number=0, host=HOST)
TARGET = Target("mark", (), ((0,),))


class Marking(toy_fault.Mark):
    """The toy fault without a system."""

    def choose(self) -> Target:
        self._target = TARGET
        return TARGET


@pytest.fixture(autouse=True)
def toy(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAULTS, "mark", replace(toy_fault.MARK, make=Marking))


def with_methods(monkeypatch: pytest.MonkeyPatch, **methods: Callable[..., Any]) -> None:
    kind = type("Made", (Marking,), methods)
    monkeypatch.setitem(FAULTS, "mark", replace(toy_fault.MARK, make=kind))


@pytest.fixture
def orders() -> Iterator[PaperOrders]:
    made = PaperOrders(SETTINGS)
    yield made
    for fault in made.faults.values():
        fault.close()


def ordered(orders: PaperOrders, host: str = "") -> OrderedFault:
    planned = PlannedFault(0, FAULTS["mark"], FAULTS["mark"].aim(params={"lasts_s": 60}))
    real: Orders = orders  # type: ignore[assignment] - the same methods
    return OrderedFault(real, "d1", planned, service("search", SETTINGS), host)


def is_undone(fault: OrderedFault) -> bool:
    fault.undo()
    return fault.undone().check == "passed"


def test_a_fault_is_chosen_injected_and_undone_by_order(orders: PaperOrders) -> None:
    fault = ordered(orders)
    assert (fault.choose(), fault.host) == (TARGET, HOST)
    assert not toy_fault.mark().exists()
    struck = fault.inject()
    assert (struck.name, struck.partitions) == ("mark", frozenset({0}))
    assert fault.injected(5).check == "passed"
    (kept,) = files.kept(TOPIC)
    assert (kept.name, kept.fault, kept.target) == (NAME, "mark", TARGET)
    assert not fault.lasted()
    assert not is_undone(fault) or not toy_fault.mark().exists()
    wait_until(lambda: is_undone(fault), what="the undo")
    assert not toy_fault.mark().exists()
    wait_until(lambda: files.kept(TOPIC) == [], what="the file is gone")


def test_the_intent_is_on_disk_before_the_fault_and_without_it_nothing_is_injected(
    orders: PaperOrders, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def inject(mark: Marking) -> Fault:
        seen.append(len(files.kept(TOPIC)))
        return Marking.inject(mark)

    with_methods(monkeypatch, inject=inject)
    fault = ordered(orders)
    fault.inject()
    assert seen == [1]
    wait_until(lambda: is_undone(fault), what="the undo")
    fault.close()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_whole", full)
    with pytest.raises(DrillRejected, match="No space left on device"):
        ordered(orders).inject()
    assert seen == [1]


def test_an_order_that_comes_too_late_injects_nothing(orders: PaperOrders, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent was stopped between the choice and the order: nobody knows whether the fault is still wanted."""
    monkeypatch.setattr(held_fault, "_TICKET_S", -1.0)
    with pytest.raises(DrillRejected, match="came too late"):
        ordered(orders).inject()
    assert not toy_fault.mark().exists()
    assert files.kept(TOPIC) == []


def test_an_order_for_the_ticket_of_an_earlier_agent_injects_nothing(orders: PaperOrders) -> None:
    fault = ordered(orders)
    fault.choose()
    order = fault._order(HOST, "injected", "of another agent")
    ask = orders.ask(order)
    wait_until(lambda: orders.reported[-1].ask == ask, what="the report")
    assert orders.reported[-1].state == "refused"
    assert not toy_fault.mark().exists()


def test_without_a_sign_of_life_the_fault_ends_by_its_lease(
    orders: PaperOrders, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(held_fault, "since_boot", lambda: now[0])
    fault = ordered(orders)
    fault.inject()
    for _ in range(5):
        now[0] += 9.0
        orders.faults[NAME].renew()
        ask = orders.ask(fault._order(HOST, "injected", ""))  # the same state again
        wait_until(lambda ask=ask: orders.reported[-1].ask == ask, what="an answer")  # type: ignore[misc]
        assert toy_fault.mark().exists(), "renewed, it lasts longer than its lease"
    now[0] += 10.1
    wait_until(lambda: not toy_fault.mark().exists(), what="the end of the lease")
    wait_until(lambda: (undone := orders.reported[-1].undone) and undone.check == "passed", what="the report")
    assert "its lease of 10 s ended" in orders.reported[-1].reason
    assert fault.lasted()
    wait_until(lambda: is_undone(fault), what="the runner's own undo")
    assert "its lease of 10 s ended" in fault.undone().text


def test_no_lease_is_longer_than_a_minute(orders: PaperOrders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_fault, "_LONGEST_LEASE_S", 0.2)
    orders.lease_s = 1e9
    ordered(orders).inject()
    wait_until(lambda: not toy_fault.mark().exists(), what="the end of the lease")


def test_what_an_agent_left_behind_is_undone_at_once_and_told(orders: PaperOrders) -> None:
    toy_fault.mark().touch()
    aim = FAULTS["mark"].aim()
    intent = FaultIntent(NAME, TOPIC, "search", "mark", aim, TARGET)
    files.keep(intent)
    injector = FAULTS["mark"].make(RunningSystem(SETTINGS, service("search", SETTINGS)), aim)
    held = HeldFault(injector, left_behind(NAME, TARGET, "the agent ended"), TOPIC, orders._take)
    held.start()
    wait_until(lambda: bool(orders.reported) and orders.reported[-1].undone is not None, what="the undo")
    report = orders.reported[-1]
    assert report.injection is not None
    assert report.undone is not None
    assert (report.injection.check, report.undone.check, report.reason) == ("passed", "passed", "the agent ended")
    assert files.kept(TOPIC) == []
    held.close()
    assert held.join(5)


def test_a_fault_that_refuses_leaves_nothing(orders: PaperOrders, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise DrillRejected("search-0 ended by itself")

    with_methods(monkeypatch, inject=refuse)
    fault = ordered(orders)
    with pytest.raises(DrillRejected, match="search-0 ended by itself"):
        fault.inject()
    assert files.kept(TOPIC) == []
    wait_until(lambda: is_undone(fault), what="nothing is left")


def test_a_fault_that_breaks_down_half_way_is_undone_without_an_order(
    orders: PaperOrders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inject(mark: Marking) -> Fault:
        Marking.inject(mark)
        raise RuntimeError("half way")

    with_methods(monkeypatch, inject=inject)
    with pytest.raises(DrillError, match="half way"):
        ordered(orders).inject()
    wait_until(lambda: not toy_fault.mark().exists(), what="the undo")


@pytest.mark.parametrize(
    ("methods", "check"),
    [
        ({"inject": lambda mark: mark._target.struck("mark", 0.0)}, "failed"),
        ({"injected": lambda *_: 1 / 0}, "unknown"),
    ],
    ids=["never happened", "cannot be seen"],
)
def test_an_injection_that_nobody_sees_is_never_passed(
    orders: PaperOrders, monkeypatch: pytest.MonkeyPatch, methods: dict[str, Any], check: str
) -> None:
    with_methods(monkeypatch, **methods)
    fault = ordered(orders)
    fault.inject()
    assert fault.injected(5).check == check


def test_an_undo_that_fails_is_told_and_tried_until_it_succeeds(
    orders: PaperOrders, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = threading.Event()

    def undo(mark: Marking) -> None:
        if not works.is_set():
            raise RuntimeError("stuck")
        Marking.undo(mark)

    with_methods(monkeypatch, undo=undo)
    fault = ordered(orders)
    fault.inject()
    fault.undo()
    wait_until(lambda: fault.undone().check == "failed", what="the failure")
    assert "RuntimeError: stuck" in fault.undone().text
    works.set()
    wait_until(lambda: fault.undone().check == "passed", what="the undo")


def test_an_agent_that_is_silent_is_named_with_the_lease(orders: PaperOrders) -> None:
    fault = ordered(orders)
    fault.inject()
    orders.is_silent = True
    fault.undo()
    assert fault.undone().check == "unknown"
    assert f"the fault agent on {HOST} has not said what is left" in fault.undone().text
    silent = ordered(orders, HOST)
    with pytest.raises(DrillRejected, match="did not answer within"):
        silent.choose()


def test_the_next_runner_hears_what_became_of_the_fault(orders: PaperOrders) -> None:
    first = ordered(orders)
    first.inject()
    assert first.injected(5).check == "passed"
    second = ordered(orders, HOST)
    assert second.resume(TARGET).check == "passed"
    wait_until(lambda: second.undone().check == "passed", what="the undo")
    assert not toy_fault.mark().exists()


def test_an_agent_that_knows_nothing_undoes_what_the_order_names(orders: PaperOrders) -> None:
    """Its state folder is lost, as when a container is made anew."""
    toy_fault.mark().touch()
    fault = ordered(orders, HOST)
    assert fault.resume(TARGET).check == "passed"
    wait_until(lambda: fault.undone().check == "passed", what="the undo")
    assert not toy_fault.mark().exists()


steps = st.lists(st.sampled_from(["choose", "inject", "undo", "renew", "halt", "again"]), min_size=1, max_size=8)


@settings(max_examples=30)
@given(steps)
def test_in_any_order_of_orders_nothing_is_left_at_the_end(state_of_property: Path, taken: list[str]) -> None:
    orders = PaperOrders(SETTINGS)
    fault = ordered(orders)
    for step in taken:
        with suppress(DrillRejected, DrillError):
            if step == "choose":
                fault.choose()
            elif step == "inject" and fault._undo_ask < 0:
                fault.inject()
            elif step == "undo" and fault.host:
                fault.undo()
            elif step == "again":
                fault.close()
                fault = ordered(orders)
            elif NAME in orders.faults:
                held = orders.faults[NAME]
                held.renew() if step == "renew" else held.halt("the lever was pulled")
    held_faults = list(orders.faults.values())
    for held in held_faults:
        held.close()
    assert all(held.join(10) for held in held_faults)
    wait_until(lambda: not toy_fault.mark().exists() and files.kept(TOPIC) == [], what="nothing is left")


@pytest.fixture(scope="module")
def state_of_property(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patched:
        home = tmp_path_factory.mktemp("property")
        patched.setenv("STANDFAST_HOME", str(home))
        yield home


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_a_runner_that_was_replaced_is_never_heard_again(heard: list[str]) -> None:
    current = CurrentRunner()
    for runner in heard:
        before = current.current
        taken = current.heard(runner)
        assert taken == (current.current == runner)
        if before not in {runner, current.current}:
            assert not current.heard(before)


def test_a_finding_of_an_agent_of_another_boot_counts_from_the_order(
    orders: PaperOrders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its monotonic clock cannot be compared: the recovery may seem longer than it was, never shorter."""
    monkeypatch.setattr(held_fault, "boot", lambda: "another")
    with_methods(monkeypatch, inject=lambda _: TARGET.struck("mark", 5.0), injected=lambda *_: Finding("passed", ""))
    assert boot() != "another"
    assert ordered(orders).inject().at != 5.0
    assert FaultOrder.__struct_config__.tag == "order"
    assert FaultReport.__struct_config__.tag == "report"
