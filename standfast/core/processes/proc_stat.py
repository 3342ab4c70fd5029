"""What `/proc/<pid>/stat` tells of a process."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class ProcStat(NamedTuple):
    """Fields 3, 4, 14 + 15 and 22 of proc(5).

    Args:
        state: as `ps` shows it (R, S, T, Z, …).
        parent: its pid.
        ticks: processor time in clock ticks, user and system.
        started: in clock ticks since boot; together with the pid it identifies one process, as pids are reused.
    """

    state: str
    parent: int
    ticks: int
    started: int


def proc_stat(pid: int) -> ProcStat:
    """The process's fields; raises FileNotFoundError or ProcessLookupError if there is no such process."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    fields = text.rpartition(")")[2].split()  # the name before it may contain spaces and parentheses
    return ProcStat(fields[0], int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[19]))
