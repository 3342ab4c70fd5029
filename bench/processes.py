"""The processes of a benchmark: which there are, what they cost, and that none is left."""

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
    """Makes whatever a child leaves behind a child of this process, so that `family` always finds it."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def family(pid: int) -> list[int]:
    """The process and everything it started, directly or not."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [pid]


def parent(pid: int) -> int:
    """Who started it; raises ProcessLookupError when it is gone."""
    try:
        return psutil.Process(pid).ppid()
    except psutil.NoSuchProcess:
        raise ProcessLookupError(pid) from None


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time these processes have used, user and system."""
    return _sum(pids, lambda one: sum(one.cpu_times()[:2]))


def whole_seconds(pids: Iterable[int]) -> float:
    """The same with that of their children who are dead and buried: of a whole family nothing is missing."""
    return _sum(pids, lambda one: sum(one.cpu_times()[:4]))


def machine_seconds() -> float:
    """Processor time used by everything on this machine."""
    used = psutil.cpu_times()
    return float(used.user + used.nice + used.system + used.irq + used.softirq)


def memory_mb(pids: Iterable[int]) -> float:
    """Proportional set size of all of them: what is shared is counted once."""
    return _sum(pids, lambda one: one.memory_full_info().pss) / 2**20


def end(pids: Iterable[int], within_s: float) -> None:
    """Asks them to stop, and kills what still runs after so many seconds."""
    members = list(pids)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if await_end(members, within_s):
            return


def await_end(pids: Iterable[int], within_s: float) -> bool:
    """Whether none of them runs any more after at most so many seconds."""
    members, deadline = list(pids), time.monotonic() + within_s
    while any(map(_runs, members)):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _sum(pids: Iterable[int], of: Callable[[psutil.Process], float]) -> float:
    """Of those that are there: one that has ended, or that we may not look into, counts nothing."""
    found = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            found += of(psutil.Process(pid))
    return found


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in _ENDED
    except psutil.NoSuchProcess:
        return False
