"""One process held by a pidfd from when it is chosen: a signal reaches that process or nobody.

A pid that was given to another process in between cannot be hit.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path

from drills.faults.injector import Process
from standfast.core.errors import DrillRejected

_STATE, _START_TIME = 0, 19  # fields 3 and 22 of /proc/<pid>/stat, counted from after the name, which may hold blanks


class ProcessHandle:
    """The process `pid`, called `name`; raises DrillRejected if there is none. Close it."""

    def __init__(self, name: str, pid: int) -> None:
        try:
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:
            raise _missing(name, pid) from None
        try:
            self.process = Process(name, pid, start_time(pid))
        except (FileNotFoundError, ProcessLookupError):  # the second: it ended while the file was read
            os.close(self._handle)
            raise _missing(name, pid) from None

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; raises DrillRejected if the process has ended or is not ours."""
        name, pid = self.process.id, self.process.pid
        try:
            signal.pidfd_send_signal(self._handle, number)
        except ProcessLookupError:
            raise DrillRejected(f"{name} (process {pid}) ended by itself before {number.name}") from None
        except PermissionError:
            raise DrillRejected(
                f"{name} (process {pid}) belongs to another user; run the drills as the same user as the workers"
            ) from None

    def dead_within(self, seconds: float) -> bool:
        """Whether it has ended; blocks for so long at most."""
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def is_stopped(self) -> bool:
        """Whether it is there and stands still, as after SIGSTOP."""
        try:
            return not self.dead_within(0) and _stat(self.process.pid)[_STATE] == "T"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def close(self) -> None:
        """Lets go of the process."""
        os.close(self._handle)


def still_held(processes: Iterable[Process]) -> list[ProcessHandle]:
    """Those of the processes that still run, and are no others with their pids."""
    found: list[ProcessHandle] = []
    for process in processes:
        try:
            held = ProcessHandle(process.id, process.pid)
        except DrillRejected:
            continue
        if held.process == process and not held.dead_within(0):
            found.append(held)
        else:
            held.close()
    return found


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; raises FileNotFoundError."""
    return int(_stat(pid)[_START_TIME])


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _missing(name: str, pid: int) -> DrillRejected:
    return DrillRejected(f"{name} is said to be process {pid}, and there is none; see: standfast status")
