"""Whether a process does nothing any more: it was stopped by a signal, or its own loop makes no step."""

from __future__ import annotations

from pathlib import Path

from standfast.core.processes.pulse import Pulse

_STOPPED_S = 2.0  # one that is continued at once is let be
# Thrice the longest that a role waits in one call: 20 s for a schema registry that is away (`schemas.registry`), or for
# a transaction's offsets and its end, 10 s each (`drills.control.journal`).
_SILENT_S = 60.0
_START_S = 600.0  # until its first step: what it is made of is read from a slow disk


def is_stopped(pid: int) -> bool:
    """Whether the process is in state T, and not merely short of processor time; False if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in {"T", "t"}


class Stillness:
    """How long one process has been still. Counted in looks, not by the clock.

    If its supervisor is held up as well, as by `docker pause`, that is not the process's doing.
    """

    def __init__(self, pid: int, pulse: Pulse | None) -> None:
        self._pid = pid
        self._pulse = pulse
        self._seen = 0
        self._stopped_s = 0.0
        self.silent_s = 0.0

    def look(self, passed_s: float) -> None:
        """To be called every `passed_s` seconds."""
        self._stopped_s = self._stopped_s + passed_s if is_stopped(self._pid) else 0.0
        if self._pulse is None:
            return
        count = self._pulse.count
        self.silent_s = self.silent_s + passed_s if count == self._seen else 0.0
        self._seen = count

    @property
    def limit_s(self) -> float:
        """How long it may make no step."""
        return _SILENT_S if self._seen else _START_S

    @property
    def is_long(self) -> bool:
        """Whether people should hear of it: half of what it may take is over."""
        return self.silent_s > self.limit_s / 2

    @property
    def too_long(self) -> str:
        """Why the process is to be killed; empty if it is not."""
        if self._stopped_s > _STOPPED_S:
            return "it was stopped by a signal"
        return f"it made no step for {self.silent_s:.0f} s" if self.silent_s > self.limit_s else ""
