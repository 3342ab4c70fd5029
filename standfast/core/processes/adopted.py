"""Ends of processes that this one has adopted from descendants that died (`parent_death.adopt_orphans`)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from standfast.core.processes.stillness import state_of

_SWEEP_S = 30.0


def exit_status(pid: int) -> int | None:
    """The exit status of a child that has ended, negative: by that signal; None if it runs or is no child."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if ended else None


class AdoptedProcess:
    """A child that this process has not started itself, with what is used of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def wait(self) -> int:
        """Blocks until it has ended; returns its exit status, negative: by that signal."""
        return self._ended(0) or 0

    def poll(self) -> int | None:
        """Its exit status as `wait` returns it, None while it runs."""
        return self._ended(os.WNOHANG)

    def terminate(self) -> None:
        """Sends SIGTERM, unless it has ended."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL, unless it has ended."""
        self._signal(signal.SIGKILL)

    def _ended(self, options: int) -> int | None:
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # somebody else asked first; nothing is known of how it ended
                self._status = 0
            else:
                self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status

    def _signal(self, number: signal.Signals) -> None:
        if self.poll() is None:  # after its status was read, the pid may be another process's
            os.kill(self.pid, number)


class Zombies:
    """Children that have ended and whose exit status nobody asks for.

    Who starts a process asks within a second or two, so a child that is a zombie in two sweeps is an orphan.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._due = 0.0

    def sweep(self) -> None:
        """Frees the process table of those that the last sweep saw too; does nothing for 30 s after a sweep."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _SWEEP_S
        zombies = {pid for pid in _children() if state_of(pid) == "Z"}
        for pid in zombies & self._seen:
            exit_status(pid)
        self._seen = zombies - self._seen


def _children() -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:  # a kernel that does not tell (CONFIG_PROC_CHILDREN)
        return []
