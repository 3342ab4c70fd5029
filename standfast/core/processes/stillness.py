"""Whether a process hangs: it was stopped by a signal, or its loop makes no steps."""

from __future__ import annotations

from standfast.core.processes.proc_stat import proc_stat
from standfast.core.processes.pulse import Pulse

_STOPPED_S = 2.0  # a process that is stopped and soon continued (SIGSTOP, SIGCONT) is not killed
# Three times the longest that a role waits in one call: 20 s for a schema registry that is away (`schemas.registry`),
# or 10 s each for a transaction's offsets and its commit (`drills.control.journal`).
_SILENT_S = 60.0
_START_S = 600.0  # until the first step: a slow disk may take long to read the imported packages


def state_of(pid: int) -> str:
    """The state of the process as `ps` shows it (R, S, T, Z, …); "" if there is no such process."""
    try:
        return proc_stat(pid).state
    except OSError:
        return ""


def is_stopped(pid: int) -> bool:
    """Whether the process is stopped (state T or t); False if there is no such process."""
    return state_of(pid) in {"T", "t"}


class Stillness:
    """How long one process has made no steps.

    The time is counted in calls of `look`, not by the clock: if the supervisor stands still too, as under
    `docker pause`, that time is not held against the process.
    """

    def __init__(self, pid: int, pulse: Pulse | None) -> None:
        self._pid = pid
        self._pulse = pulse
        self._seen = 0
        self._stopped_s = 0.0
        self.silent_s = 0.0

    def look(self, passed_s: float) -> None:
        """Reads the process's state and counter; call it every `passed_s` seconds."""
        self._stopped_s = self._stopped_s + passed_s if is_stopped(self._pid) else 0.0
        if self._pulse is None:
            return
        count = self._pulse.count
        self.silent_s = self.silent_s + passed_s if count == self._seen else 0.0
        self._seen = count

    @property
    def limit_s(self) -> float:
        """How many seconds the process may make no step."""
        return _SILENT_S if self._seen else _START_S

    @property
    def is_long(self) -> bool:
        """Whether the silence should be reported: half of the limit is over."""
        return self.silent_s > self.limit_s / 2

    @property
    def too_long(self) -> str:
        """Why the process must be killed; empty if it need not."""
        if self._stopped_s > _STOPPED_S:
            return "it was stopped by a signal"
        return f"it made no step for {self.silent_s:.0f} s" if self.silent_s > self.limit_s else ""
