"""A live worker may open no more file descriptors: no file, no connection."""

from __future__ import annotations

import itertools
import resource
from pathlib import Path

from drills.faults.injector import Kind
from drills.faults.limits import LimitFault
from drills.faults.workers import TARGETS


class DescriptorLimit(LimitFault):
    """Lowers RLIMIT_NOFILE to the lowest number that is free; descriptors above it stay open."""

    name = "descriptors"
    limit = resource.RLIMIT_NOFILE

    def lowered(self, pid: int) -> int:
        """The lowest descriptor that the process does not use: the next `open` gets it, or fails."""
        used = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        return next(number for number in itertools.count() if number not in used)

    def effect(self, soft: int) -> str:
        """The limit."""
        return f"may use descriptors below {soft} only, and all of these are in use"


DESCRIPTORS = Kind(
    "descriptors",
    "a worker opens no more files and connections (RLIMIT_NOFILE)",
    DescriptorLimit,
    targets=TARGETS,
    undo="the limit is raised again; a worker that ended of it is started again",
)
