"""A process that injects one fault and then waits to be killed: the runner that dies between inject and undo.

Run as `python -m tests.support.injecting NAME AIM`, the aim as JSON; prints the target as JSON when the fault is seen.
"""

from __future__ import annotations

import os
import sys
import time

import msgspec

from consumers.service import service
from drills.faults import fault_named
from drills.faults.injector import Aim
from drills.faults.running_system import RunningSystem
from standfast.core import settings
from standfast.core.processes.parent_death import tie_to_parent


def main(name: str, aim: str) -> None:
    tie_to_parent(os.getppid())
    loaded = settings.load()
    system = RunningSystem(loaded, service("search", loaded))
    injector = fault_named(name).make(system, msgspec.json.decode(aim, type=Aim))
    target = injector.choose()
    injector.inject()
    found = injector.injected(20)
    assert found.check == "passed", found
    sys.stdout.write(msgspec.json.encode(target).decode() + "\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
