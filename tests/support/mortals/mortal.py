"""Drill roles that kill themselves with SIGKILL at the moment in the variable `DIES`, such as `before inject`.

Run as `python -m tests.support.mortals.mortal ROLE` instead of `python -m drills` (ROLE is `runner`) or `drills.agent`
(`agent`). They know two more drills: `toy-mark`, and `toy-hang`, which injects the real fault `hang`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from drills import __main__ as runner
from drills.agent import __main__ as agent
from drills.agent import files
from drills.evidence.history import Fault
from drills.faults import FAULTS
from drills.faults.hang import HANG
from drills.faults.injector import Aim, Injector, Kind
from drills.faults.running_system import RunningSystem
from drills.running.ordered_fault import OrderedFault
from tests.support.toys.toy_fault import MARK, add_drills


@contextmanager
def moment(what: str) -> Iterator[None]:
    """A step, before or after which the process may die."""
    for when in ("before", "after"):
        if when == "after":
            yield
        if os.environ.get("DIES") == f"{when} {what}":
            os.kill(os.getpid(), signal.SIGKILL)


class Mortal:
    """An injector whose process may die before or after `inject` and `undo`."""

    def __init__(self, injector: Injector) -> None:
        self._injector = injector

    def __getattr__(self, name: str) -> Any:
        return getattr(self._injector, name)

    def inject(self) -> Fault:
        with moment("inject"):
            return self._injector.inject()

    def undo(self) -> None:
        with moment("undo"):
            self._injector.undo()


def mortal(kind: Kind) -> Kind:
    """The same kind of fault, injected by an agent that may die."""

    def make(system: RunningSystem, aim: Aim) -> Injector:
        made: Injector = Mortal(kind.make(system, aim))  # type: ignore[assignment] - the rest is passed on
        return made

    return replace(kind, make=make)


def dying(what: str, step: Callable[..., Any]) -> Callable[..., Any]:
    """The same step, before or after which the process may die."""

    def taken(*arguments: Any) -> Any:
        with moment(what):
            return step(*arguments)

    return taken


def main() -> int:
    for kind in (MARK, HANG):
        FAULTS[kind.name] = mortal(kind) if sys.argv[1] == "agent" else kind
    add_drills()
    if sys.argv[1] == "agent":
        files.keep = dying("keep", files.keep)
        files.forget = dying("forget", files.forget)
        return agent.main()
    for step in ("inject", "undo", "close"):
        setattr(OrderedFault, step, dying(step, getattr(OrderedFault, step)))
    return runner.main()


if __name__ == "__main__":
    sys.exit(main())
