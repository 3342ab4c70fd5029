"""The processes of a benchmark: finding them, their processor time and memory, and ending them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.02
_ENDED = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}


def adopt_orphans() -> None:
    """Makes this process the subreaper of its descendants, so that `family` finds those whose parent has ended."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def family(pid: int) -> list[int]:
    """The pids of the process and all its descendants."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [pid]


def parent(pid: int) -> int:
    """The pid of its parent; raises ProcessLookupError if the process has ended."""
    try:
        return psutil.Process(pid).ppid()
    except psutil.NoSuchProcess:
        raise ProcessLookupError(pid) from None


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time (s) that these processes have used, user and system."""
    return _sum(pids, lambda process: sum(process.cpu_times()[:2]))


def whole_seconds(pids: Iterable[int]) -> float:
    """The same plus that of their children that have ended and were waited for: complete for a whole `family`."""
    return _sum(pids, lambda process: sum(process.cpu_times()[:4]))


def machine_seconds() -> float:
    """Processor time (s) used by everything on this machine."""
    used = psutil.cpu_times()
    return float(used.user + used.nice + used.system + used.irq + used.softirq)


def memory_mb(pids: Iterable[int]) -> float:
    """The sum of their proportional set sizes, which count shared pages once."""
    return _sum(pids, lambda process: process.memory_full_info().pss) / 2**20


def end(pids: Iterable[int], within_s: float) -> None:
    """Sends SIGTERM, and SIGKILL to those that still run after `within_s` seconds."""
    members = list(pids)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if await_end(members, within_s):
            return


def await_end(pids: Iterable[int], within_s: float) -> bool:
    """Whether all of them have ended; waits for at most `within_s` seconds."""
    members, deadline = list(pids), time.monotonic() + within_s
    while any(map(_runs, members)):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _sum(pids: Iterable[int], figure: Callable[[psutil.Process], float]) -> float:
    """The sum over the processes; one that has ended, or that this user may not inspect, counts 0."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += figure(psutil.Process(pid))
    return total


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in _ENDED
    except psutil.NoSuchProcess:
        return False
