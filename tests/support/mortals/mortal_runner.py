"""A drill runner that kills itself with SIGKILL at the moment in the variable `DIES`, such as `before inject`.

Run as `python -m tests.support.mortals.mortal_runner` instead of `python -m drills`. It knows two more drills:
`toy-mark`, and `toy-hang`, which injects the real fault `hang`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from drills.__main__ import main
from drills.evidence.history import Fault
from drills.faults import FAULTS
from drills.faults.hang import HANG
from drills.faults.injector import Aim, Injector, Kind
from drills.faults.running_system import RunningSystem
from drills.running import intents
from tests.support.toys.toy_fault import MARK, add_drills


@contextmanager
def moment(what: str) -> Iterator[None]:
    """A step of the runner, before or after which it may die."""
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
    """The same kind of fault, injected by a runner that may die."""

    def make(system: RunningSystem, aim: Aim) -> Injector:
        made: Injector = Mortal(kind.make(system, aim))  # type: ignore[assignment] - the rest is passed on
        return made

    return replace(kind, make=make)


def keep(intent: intents.Intent, written: Any = intents.keep) -> None:
    with moment("keep"):
        written(intent)


if __name__ == "__main__":
    for kind in (MARK, HANG):
        FAULTS[kind.name] = mortal(kind)
    add_drills()
    intents.keep = keep
    sys.exit(main())
