"""Parent-death signals (PR_SET_PDEATHSIG): the kernel signals a process when its parent dies, however it dies.

An ancestor may adopt orphans (PR_SET_CHILD_SUBREAPER), which are tied to it then.

Also a program, which `start_child` puts before others: it asks for the signal, then execs the given command. It runs
without our packages on the path (`python -I -S`), so this module imports none of them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


def tie_to_parent(parent: int, signum: int = 9) -> None:
    """Makes the kernel send this process `signum` when its parent dies.

    `parent` is the expected parent's pid: if it died before the call, this process signals itself. Linux sends the
    signal when the *thread* that started this process ends, so children are started from a main thread only.
    """
    if not _tied(parent, signum):
        os.kill(os.getpid(), signum)


def tie_to_adopter(parent: int, adopter: int, signum: int = 9) -> None:
    """The same for a process whose parent ends at once, so that `adopter` becomes its parent; waits for that."""
    while os.getppid() == parent:
        time.sleep(0.0002)
    tie_to_parent(adopter, signum)


def adopt_orphans() -> None:
    """Makes this process the parent of its descendants whose own parents die, instead of process 1."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_name(name: str) -> None:
    """Sets what `ps -o comm` and `top` show for this process: the first 15 bytes of the name."""
    _prctl(_PR_SET_NAME, ctypes.create_string_buffer(name.encode()))


def untie_from_parent() -> None:
    """Undoes `tie_to_parent`."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def _tied(parent: int, signum: int) -> bool:
    """Asks for the signal; returns whether the parent still lived after that."""
    _prctl(_PR_SET_PDEATHSIG, signum)
    return os.getppid() == parent


def _prctl(option: int, value: object) -> None:
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is not None:  # Linux only
        prctl(option, value, 0, 0, 0)


def _become(parent: str, signum: str, *command: str) -> None:
    """Replaces this program by `command`; exits instead if the parent is dead, as `command` may ignore the signal.

    `command` may write to a terminal whose foreground group it is not in.
    """
    if not _tied(int(parent), int(signum)):
        sys.exit(1)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    _become(*sys.argv[1:])
