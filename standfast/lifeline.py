"""Children that never outlive their parent, and that leave Ctrl-C to it."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def tie_to_parent(parent: int, signum: signal.Signals = signal.SIGKILL) -> None:
    """Makes the kernel send this process `signum` when its parent dies, however it dies.

    `parent` is the pid the caller expects: a parent that died before the call is noticed here. The signal is sent when
    the *thread* that started this process ends, so children are started from a main thread only.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)


def leave_interrupts_to_parent() -> None:
    """Ignores Ctrl-C, which a terminal sends to the whole group: the supervisor stops its children in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
