"""The processes of a benchmark: which there are, what they cost, and that none is left."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_TICKS = os.sysconf("SC_CLK_TCK")
_POLL_S = 0.02


def adopt_orphans() -> None:
    """Makes whatever a child leaves behind a child of this process, so that `family` always finds it."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def family(pid: int) -> list[int]:
    """The process and everything it started, directly or not."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    found = [pid]
    for one in found:  # grows while it is walked
        found.extend(children[one])
    return found


def parent(pid: int) -> int:
    """Who started it; raises ProcessLookupError when it is gone."""
    fields = _stat(pid)
    if not fields:
        raise ProcessLookupError(pid)
    return int(fields[1])


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time these processes have used, user and system."""
    return _seconds(pids, 11, 12)


def whole_seconds(pids: Iterable[int]) -> float:
    """The same with that of their children who are dead and buried: of a whole family nothing is missing."""
    return _seconds(pids, 11, 12, 13, 14)


def machine_seconds() -> float:
    """Processor time used by everything on this machine."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / _TICKS


def memory_mb(pids: Iterable[int]) -> float:
    """Proportional set size of all of them: what is shared is counted once."""
    return sum(map(_pss_kb, pids)) / 1024


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


def _seconds(pids: Iterable[int], *places: int) -> float:
    stats = filter(None, map(_stat, pids))
    return sum(int(fields[place]) for fields in stats for place in places) / _TICKS


def _runs(pid: int) -> bool:
    fields = _stat(pid)
    return bool(fields) and fields[0] not in {"Z", "X"}


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat behind the name, state first; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
