"""How our processes handle signals: which ones stop them, and which ones children leave to their parent."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType


def leave_interrupts_to_parent() -> None:
    """Ignores SIGINT and SIGHUP, which a terminal sends to the whole group: the supervisor stops children in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def leave_group() -> None:
    """Makes this process a group of its own, which does not get the terminal's Ctrl-C, and may write to the terminal.

    Not a session of its own: where the kernel groups by session (`sched_autogroup_enabled`), each would get as much
    processor time as all others together, and priorities would count only within it.
    """
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)


def reset_signals() -> None:
    """Restores signals that the parent process left ignored or blocked, which an exec keeps.

    With SIGCHLD ignored no exit status of a child can be read; with SIGTERM ignored or blocked nothing can be stopped.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def stopping_signals() -> tuple[signal.Signals, ...]:
    """The signals that stop a process in order: SIGTERM, SIGINT, and SIGHUP unless it is ignored (`nohup`)."""
    hang_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGTERM, signal.SIGINT, *hang_up)


def stop_event() -> threading.Event:
    """An event that the first stopping signal sets; call from the main thread."""
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in stopping_signals():
        signal.signal(number, stop)
    return stopping
