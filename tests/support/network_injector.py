"""A process that injects a fault of the network and then waits to be killed.

Run as `python -m tests.support.network_injector STATUS FAULT TARGET PARAMS`, with a file and three texts of JSON. It
writes the target that it chose to stdout.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import msgspec

from consumers.service import service
from drills.faults import FAULTS
from drills.faults.running_system import RunningSystem
from standfast.core import status
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus


def main(file: str, fault: str, target: str, params: str) -> None:
    seen = msgspec.json.decode(Path(file).read_bytes(), type=SystemStatus)
    status.read = lambda: seen
    system = RunningSystem(Settings(), service("search", Settings()))
    kind = FAULTS[fault]
    injector = kind.make(system, kind.aim(json.loads(target), json.loads(params)))
    chosen = injector.choose()
    injector.inject()
    sys.stdout.buffer.write(msgspec.json.encode(chosen) + b"\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
