"""A process held by a pidfd from when it is chosen: a signal reaches that process or none.

Its pid may be reused by another process in between; a pidfd never refers to that one.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable

from drills.faults.injector import Process
from standfast.core.errors import DrillRejected
from standfast.core.processes.proc_stat import proc_stat


class ProcessHandle:
    """A handle of the process `pid`; `name` is for messages. Raises DrillRejected if there is none. Close it."""

    def __init__(self, name: str, pid: int) -> None:
        try:
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:
            raise _missing(name, pid) from None
        try:
            self.process = Process(name, pid, start_time(pid))
        except (FileNotFoundError, ProcessLookupError):  # ProcessLookupError: it ended while the file was read
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
        """Whether it has ended; waits for at most `seconds`."""
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def is_stopped(self) -> bool:
        """Whether it exists and is stopped, as after SIGSTOP."""
        try:
            return not self.dead_within(0) and proc_stat(self.process.pid).state == "T"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def close(self) -> None:
        """Closes the pidfd."""
        os.close(self._handle)


def still_held(processes: Iterable[Process]) -> list[ProcessHandle]:
    """Handles of the processes that still run; a later process with the same pid is not one of them."""
    handles: list[ProcessHandle] = []
    for process in processes:
        try:
            handle = ProcessHandle(process.id, process.pid)
        except DrillRejected:
            continue
        if handle.process == process and not handle.dead_within(0):
            handles.append(handle)
        else:
            handle.close()
    return handles


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; raises FileNotFoundError."""
    return proc_stat(pid).started


def _missing(name: str, pid: int) -> DrillRejected:
    return DrillRejected(f"{name} is said to be process {pid}, and there is none; see: standfast status")
