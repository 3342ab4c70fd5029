"""What signals mean to our processes: what stops them, and what children leave to their parent."""

from __future__ import annotations

import signal


def leave_interrupts_to_parent() -> None:
    """Ignores Ctrl-C and a hang-up, which a terminal sends to the whole group: the supervisor stops all in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def reset_signals() -> None:
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
