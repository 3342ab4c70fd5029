"""SIGKILL to one worker: what an out-of-memory killer does.

The process is held by a pidfd from the moment it is chosen, so that the signal reaches that process or nobody: a pid
that was given to another process in between cannot be hit.
"""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path

from consumers.service import Service
from drills.targets import Target, active_workers, ready_standbys
from drills.verdict import Finding
from standfast.errors import DrillRejected
from standfast.status import SystemStatus

_START_TIME = 19  # field 22 of /proc/<pid>/stat, counted from after the name, which may hold blanks and brackets


class KillWorker:
    """One worker about to be killed. Raises DrillRejected if there is no such process to kill."""

    def __init__(self, target: Target) -> None:
        self.target = target
        try:
            self._held = os.pidfd_open(target.pid)
            self._started = start_time(target.pid)
        except (ProcessLookupError, FileNotFoundError):
            raise DrillRejected(
                f"{target.worker} is said to be process {target.pid}, and there is none; see: standfast status"
            ) from None

    def inject(self) -> float:
        """Kills, and returns the instant before the signal on the monotonic clock.

        Raises DrillRejected if the process is no longer the one that was chosen, or is not ours to kill.
        """
        try:
            started = start_time(self.target.pid)
        except FileNotFoundError:
            started = -1
        if started != self._started or self._dead_within(0):
            raise DrillRejected(f"{self.target.worker} (process {self.target.pid}) ended by itself before the kill")
        at = time.monotonic()
        try:
            signal.pidfd_send_signal(self._held, signal.SIGKILL)
        except ProcessLookupError:
            raise DrillRejected(f"{self.target.worker} ended by itself before the kill") from None
        except PermissionError:
            raise DrillRejected(
                f"{self.target.worker} (process {self.target.pid}) belongs to another user; run the drills as the "
                "same user as the workers"
            ) from None
        return at

    def injected(self, within_s: float) -> Finding:
        """Whether the process is gone; blocks for at most `within_s`."""
        what = f"{self.target.worker} (process {self.target.pid})"
        if self._dead_within(within_s):
            return Finding("passed", f"{what} was killed; it owned partitions {list(self.target.partitions)}")
        return Finding("failed", f"{what} still runs {within_s:g} s after SIGKILL")

    def undone(self, status: SystemStatus | None, service: Service) -> Finding:
        """Whether the same worker is active in another process and as many standbys are ready as before."""
        if status is None:
            return Finding("unknown", "the system gives no status, so nobody knows whether the worker was replaced")
        replaced = [one for one in active_workers(status, service) if one.id == self.target.worker]
        standbys = ready_standbys(status, service)
        if not replaced or replaced[0].pid == self.target.pid:
            return Finding("failed", f"{self.target.worker} was not replaced")
        text = (
            f"{self.target.worker} is active again as process {replaced[0].pid}; standbys ready: {standbys} "
            f"({self.target.standbys} before)"
        )
        return Finding("passed" if standbys >= self.target.standbys else "failed", text)

    def close(self) -> None:
        """Lets go of the process."""
        os.close(self._held)

    def _dead_within(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._held, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; raises FileNotFoundError."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[_START_TIME])
