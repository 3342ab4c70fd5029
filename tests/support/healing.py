"""A fault that a test makes itself, without a drill: the system, the aim, and the undo that has to be seen."""

from __future__ import annotations

import time
from typing import Any

import pytest

from consumers.service import service
from drills.faults import FAULTS
from drills.faults.injector import Aim, Injector
from drills.faults.running_system import RunningSystem
from tests.support.toys.toys import Toys
from tests.waiting import wait_until


def struck_system(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> RunningSystem:
    """The search of these toys as faults see it, once it is whole; its state folder is in use during the test."""
    monkeypatch.setenv("STANDFAST_HOME", str(toys.home))
    wait_until(lambda: toys.status().state == "ready" and toys.standbys(), 90, what="a whole system")
    return RunningSystem(toys.settings, service("search", toys.settings))


def aimed(name: str, **params: Any) -> Aim:
    """An aim of its own drill, with a seed of its own."""
    return FAULTS[name].aim(params=params, seed=time.time_ns() % 2**31, drill_id=f"d{time.time_ns()}")


def healed(injector: Injector, within: float = 30) -> None:
    """Undoes it, and asserts that this is seen."""

    def is_undone() -> bool:
        injector.undo()
        return injector.undone().check == "passed"

    wait_until(is_undone, within, every=0.2, what="the undo")
