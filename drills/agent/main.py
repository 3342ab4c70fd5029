"""The fault agent's process: it runs until SIGTERM."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from drills.agent.agent import FaultAgent
from standfast.core.processes.lifeline import stopping_signals
from standfast.core.settings import Settings


def run(settings: Settings) -> None:
    """Runs the fault agent until SIGTERM or SIGINT; call from the main thread."""
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in stopping_signals():
        signal.signal(number, stop)
    FaultAgent(settings, stopping).run()
