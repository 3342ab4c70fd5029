"""Ends of processes that this one has adopted from descendants that died (`parent_death.adopt_orphans`)."""

from __future__ import annotations

import os
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
