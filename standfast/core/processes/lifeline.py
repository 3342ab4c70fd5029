"""What signals mean to our processes: children never outlive their parent, and leave Ctrl-C to it."""

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


def cut_loose() -> None:
    """Undoes `tie_to_parent`."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


def leave_interrupts_to_parent() -> None:
    """Ignores Ctrl-C and a hang-up, which a terminal sends to the whole group: the supervisor stops all in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def usual_signals() -> None:
    """Undoes what a parent left behind that would break us: ignored or blocked signals outlive an exec.

    With SIGCHLD ignored nobody learns how a child ended; with SIGTERM ignored or blocked nothing can be stopped.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def stopping_signals() -> tuple[signal.Signals, ...]:
    """What stops a process in order. A hang-up does, unless we were started not to care (`nohup`)."""
    hang_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGTERM, signal.SIGINT, *hang_up)
