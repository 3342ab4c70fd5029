"""Makes processes whose parent is this process's parent.

A nursery's workers are the supervisor's own children this way, and so are roles: they outlive the nursery, end with the
supervisor, and the supervisor learns how they ended. A helper process makes each of them and ends at once, and the
supervisor adopts the orphan (`parent_death.adopt_orphans`). For a nursery of 1 GB this costs a second fork, 12 ms.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from standfast.core.processes.parent_death import set_name, tie_to_adopter


def fork(name: str, child: Callable[[], int], at_death: int = signal.SIGKILL) -> int:
    """Forks a process that calls `child` and exits with what it returns; returns its pid. Raises OSError.

    Args:
        name: what `ps -o comm` and `top` show, cut to 15 bytes; its command line is that of this process.
        at_death: the signal that it gets when its adopter dies.
    """
    adopter = os.getppid()

    def make(told: int) -> int:
        helper = os.getpid()
        set_name(name)  # which the fork keeps: nobody ever sees the worker under its nursery's name
        pid = os.fork()
        if pid == 0:
            os.close(told)
            _run(helper, adopter, at_death, child)
        return pid

    return _through_helper(make)


def spawn(command: Callable[[], Sequence[str]], descriptor: int, environment: Mapping[str, str]) -> int:
    """The same with a program, which must call `tie_to_adopter`. It inherits `descriptor`.

    `command` is called in the helper, whose pid is the program's first parent.
    """

    def make(_: int) -> int:
        return subprocess.Popen(command(), pass_fds=[descriptor], env=environment).pid

    return _through_helper(make)


def _through_helper(make: Callable[[int], int]) -> int:
    read, write = os.pipe()
    try:
        helper = os.fork()
        if helper == 0:
            os.close(read)
            _help(make, write)
    finally:
        os.close(write)
    try:
        told = os.read(read, 32).decode()
    finally:
        os.close(read)
        os.waitpid(helper, 0)
    if not told.isdecimal():
        raise OSError(told or "the process that was to make it ended")
    return int(told)


def _help(make: Callable[[int], int], write: int) -> None:
    """Never returns."""
    try:
        told = str(make(write))
    except OSError as error:
        told = f"error: {error.strerror}"[:32]
    with suppress(OSError):
        os.write(write, told.encode())
    os._exit(0)


def _run(helper: int, adopter: int, at_death: int, child: Callable[[], int]) -> None:
    """Never returns: any exception ends the process, without the clean-up of the process that it was forked from."""
    status = 1
    try:
        tie_to_adopter(helper, adopter, at_death)
        status = child()
    except BaseException:  # noqa: BLE001 - printed, then the process ends
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
