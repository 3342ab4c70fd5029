"""The steps of a method, played by one thread: a step that waits yields, and its caller waits for a tick.

Branches run in parallel without threads that way, and the drill can be stopped between any two ticks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Protocol

from drills.evidence.hypothesis import Expectation
from drills.running.plan import PlannedFault, PlannedStep

Ticks = Generator[None, None, None]
_OVER = object()


class Player(Protocol):
    """What the steps are played on."""

    def strike(self, fault: PlannedFault) -> Ticks:
        """Injects the fault."""

    def lift(self, fault: PlannedFault) -> Ticks:
        """Undoes the fault, and waits until nothing is left of it."""

    def holds(self, expectation: Expectation, /) -> Callable[[], bool]:
        """Tells whether the expectation holds by then."""

    def wait(self, done: Callable[[], bool], within_s: float) -> Ticks:
        """Waits until it is done, `within_s` at most."""


def played(steps: Iterable[PlannedStep], player: Player) -> Ticks:
    """Plays the steps one after the other."""
    for step in steps:
        if step.fault is not None:
            yield from player.strike(step.fault)
            if step.for_s is not None:
                yield from player.wait(_never, step.for_s)
                yield from player.lift(step.fault)
        elif step.until is not None:
            yield from player.wait(player.holds(step.until), step.within_s)
        elif step.parallel:
            yield from _in_parallel([played(branch, player) for branch in step.parallel])
        else:
            yield from player.wait(_never, step.wait_s)


def _in_parallel(branches: list[Ticks]) -> Ticks:
    while branches := [branch for branch in branches if next(branch, _OVER) is not _OVER]:
        yield


def _never() -> bool:
    return False
