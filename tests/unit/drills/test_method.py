"""The steps of a method: one after the other, branches beside each other, each to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from drills.evidence.hypothesis import Expectation
from drills.running.method import Ticks, played
from drills.running.plan import PlannedFault, PlannedStep


class Board:
    """Notes what is played on it; a second of waiting is a tick."""

    def __init__(self, holds_after: int = 3) -> None:
        self.notes: list[str] = []
        self.tick = 0
        self._holds_after = holds_after

    def strike(self, fault: PlannedFault) -> Ticks:
        self.notes.append(f"{self.tick} strike {fault}")
        yield
        self.notes.append(f"{self.tick} struck {fault}")

    def lift(self, fault: PlannedFault) -> Ticks:
        self.notes.append(f"{self.tick} lift {fault}")
        yield

    def holds(self, _: Expectation) -> Callable[[], bool]:
        return lambda: self.tick >= self._holds_after

    def wait(self, done: Callable[[], bool], within_s: float) -> Ticks:
        until = self.tick + within_s
        while not done() and self.tick < until:
            yield

    def play(self, *steps: PlannedStep) -> list[str]:
        for _ in played(steps, self):
            self.tick += 1
        return self.notes


def fault(name: str, for_s: float | None = None) -> PlannedStep:
    return PlannedStep(fault=cast(PlannedFault, name), for_s=for_s)


def test_steps_come_one_after_the_other() -> None:
    notes = Board().play(fault("a"), PlannedStep(wait_s=3), fault("b"))
    assert notes == ["0 strike a", "1 struck a", "4 strike b", "5 struck b"]


def test_a_fault_with_an_end_is_lifted_before_the_next_step() -> None:
    notes = Board().play(fault("a", for_s=2), fault("b"))
    assert notes == ["0 strike a", "1 struck a", "3 lift a", "4 strike b", "5 struck b"]


def test_a_wait_ends_when_it_holds_or_at_its_limit() -> None:
    wanted = Expectation(probe="p99_ms", at_most=1)
    assert Board(holds_after=2).play(PlannedStep(until=wanted, within_s=9), fault("a"))[0] == "2 strike a"
    assert Board(holds_after=99).play(PlannedStep(until=wanted, within_s=4), fault("a"))[0] == "4 strike a"


def test_branches_go_on_beside_each_other_and_all_are_waited_for() -> None:
    parallel = PlannedStep(parallel=((fault("a"), PlannedStep(wait_s=4)), (PlannedStep(wait_s=1), fault("b"))))
    notes = Board().play(parallel, fault("c"))
    assert notes == ["0 strike a", "1 struck a", "1 strike b", "2 struck b", "5 strike c", "6 struck c"]


def test_a_method_is_as_long_as_its_longest_branch() -> None:
    parallel = PlannedStep(parallel=((PlannedStep(wait_s=4),), (PlannedStep(wait_s=1), fault("b", for_s=9))))
    assert parallel.longest_s == 10
