"""A role's real process that hangs when it gets SIGUSR1: its main thread sleeps, its other threads go on.

`standfast.role_process` runs it instead of the role's module; the slot variable says which role it is.
"""

from __future__ import annotations

import os
import runpy
import signal
import time
from types import FrameType

from standfast.core.telemetry import SLOT_VARIABLE
from standfast.roles import MODULES


def _hang(_signal: int, _frame: FrameType | None) -> None:
    time.sleep(600)


signal.signal(signal.SIGUSR1, _hang)
runpy.run_module(MODULES[os.environ[SLOT_VARIABLE]], run_name="__main__")
