"""Shows where a process stands that should have ended; it must run with PYTHONFAULTHANDLER=1."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest


def exit_code(process: subprocess.Popen[Any], within_s: float) -> int:
    """Waits for the end of the process. If it does not end it is aborted: faulthandler then writes all stacks."""
    try:
        return process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        process.wait(30)
        pytest.fail(f"it still ran {within_s:.0f} s later; its stacks are in stderr")
