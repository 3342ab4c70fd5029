"""A process that does not outlive its parent: the kernel sends it a signal when that dies, however it dies.

Also a program of its own, which `start_child` puts before others: it asks for the signal and becomes the other one. It
is started without our packages, so nothing of ours is imported here.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def tie_to_parent(parent: int, signum: int = 9) -> None:
    """Makes the kernel send this process `signum` when its parent dies.

    `parent` is the pid the caller expects: a parent that died before the call is noticed here. The signal is sent when
    the *thread* that started this process ends, so children are started from a main thread only.
    """
    if not _asked(parent, signum):
        os.kill(os.getpid(), signum)


def untie_from_parent() -> None:
    """Undoes `tie_to_parent`."""
    _prctl(0)


def _asked(parent: int, signum: int) -> bool:
    """Asks for the signal; whether the parent was still there then."""
    _prctl(signum)
    return os.getppid() == parent


def _prctl(signum: int) -> None:
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is not None:  # Linux's alone
        prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)


def _become(parent: str, signum: str, *command: str) -> None:
    """The program `command` in place of this one; nothing if the parent is gone: it may ignore the signal."""
    if not _asked(int(parent), int(signum)):
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    _become(*sys.argv[1:])
