"""A live worker may get no more memory: its address space is limited to what it has, and a little more."""

from __future__ import annotations

import resource
from pathlib import Path

from drills.faults.injector import Kind
from drills.faults.limits import LimitFault
from drills.faults.workers import TARGETS
from drills.params import Param

_MB = 1_048_576


class MemoryLimit(LimitFault):
    """Lowers RLIMIT_AS: an allocation beyond it fails, as on a machine that overcommits nothing."""

    name = "memory"
    limit = resource.RLIMIT_AS

    def lowered(self, pid: int) -> int:
        """What the process has now, and `spare_mb` more."""
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        return pages * resource.getpagesize() + int(float(self.aim.params["spare_mb"]) * _MB)

    def effect(self, soft: int) -> str:
        """The limit in MB."""
        return f"may have {soft / _MB:.0f} MB of addresses, {self.aim.params['spare_mb']:g} more than it had"


MEMORY = Kind(
    "memory",
    "a worker gets no more memory (RLIMIT_AS)",
    MemoryLimit,
    targets=TARGETS,
    undo="the limit is raised again; a worker that ended of it is started again",
    params=(Param("spare_mb", 1.0, "how much more than it has", 0, 100_000),),
)
