"""The disk is full for a live worker: no file of its can grow."""

from __future__ import annotations

import resource

from drills.faults.injector import Kind
from drills.faults.limits import LimitFault
from drills.faults.workers import TARGETS


class FileSizeLimit(LimitFault):
    """Lowers RLIMIT_FSIZE to 0: each write to a regular file fails (EFBIG; Python ignores the signal that comes too).

    The machine's disk is not filled: others, and other processes of the system, go on.
    """

    name = "disk"
    limit = resource.RLIMIT_FSIZE

    def lowered(self, pid: int) -> int:  # noqa: ARG002 - the same for all
        """No byte."""
        return 0

    def effect(self, soft: int) -> str:
        """The limit."""
        return f"may write no file beyond {soft} bytes"


DISK = Kind(
    "disk",
    "a worker can write to no file (RLIMIT_FSIZE)",
    FileSizeLimit,
    targets=TARGETS,
    undo="the limit is raised again; a worker that ended of it is started again",
)
