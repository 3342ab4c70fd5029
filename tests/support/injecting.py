"""A process that injects one fault and then waits to be killed: the runner that dies between inject and undo.

`injected_by_the_killed` starts it and kills it. Run as `python -m tests.support.injecting NAME AIM`, with the aim as
JSON, it prints the target as JSON when the fault is seen.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

import msgspec

from consumers.service import service
from drills.faults import fault_named
from drills.faults.injector import Aim, Target
from drills.faults.running_system import RunningSystem
from standfast.core import settings
from standfast.core.processes.parent_death import tie_to_parent


def injected_by_the_killed(name: str, aim: Aim, environment: Mapping[str, str]) -> Target:
    """The target of a fault that a process has injected, and was killed before it undid the fault."""
    words = [sys.executable, "-m", "tests.support.injecting", name, msgspec.json.encode(aim).decode()]
    process = subprocess.Popen(words, env=dict(environment), stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        with process.stdout as output:
            written = output.readline()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return msgspec.json.decode(written, type=Target)


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
