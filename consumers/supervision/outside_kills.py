"""Tells a worker that was killed from outside from a worker that died of what it computed.

An operator, a drill or a container runtime kills with SIGKILL, and so does the kernel when memory runs out, for which a
record may be to blame. The kernel counts its own kills. A worker that ended by SIGKILL while that count stood still was
probably killed from outside.
"""

from __future__ import annotations

from collections import deque
from signal import SIGKILL
from typing import TypeVar

from consumers.channel.heartbeat import RecordId
from standfast.core.processes.oom_kills import oom_kills

_KEPT = 64  # processes of which only one of two things is known: what they computed, how they ended
_LOOKS = 3  # the oldest count is compared: freeing a large process's memory takes the kernel seconds

Records = tuple[RecordId, ...]
V = TypeVar("V")


class OutsideKills:
    """For one service. A process's last records and its exit status become known in either order."""

    def __init__(self) -> None:
        self._counts = deque([oom_kills()], maxlen=_LOOKS)
        self._computing: dict[int, Records] = {}
        self._statuses: dict[int, int] = {}

    def look(self) -> None:
        """Reads the kernel's count; call it every few seconds."""
        self._counts.append(oom_kills())

    def died(self, pid: int, computing: Records) -> Records:
        """Notes what the process was computing; returns these records if it is known to be killed from outside."""
        if (status := self._statuses.pop(pid, None)) is not None:
            return computing if self._is_from_outside(status) else ()
        _keep(self._computing, pid, computing)
        return ()

    def ended(self, pid: int, status: int) -> Records:
        """Notes how the process ended; returns what it was computing if it was killed from outside."""
        if (computing := self._computing.pop(pid, None)) is not None:
            return computing if self._is_from_outside(status) else ()
        _keep(self._statuses, pid, status)
        return ()

    def _is_from_outside(self, status: int) -> bool:
        return status == -SIGKILL and (count := oom_kills()) is not None and count == self._counts[0]


def _keep(kept: dict[int, V], pid: int, value: V) -> None:
    kept[pid] = value
    for oldest in list(kept)[:-_KEPT]:
        del kept[oldest]
