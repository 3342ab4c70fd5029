"""SIGKILL of one worker, as the kernel's out-of-memory killer sends it."""

from __future__ import annotations

from drills.faults.injector import Kind
from drills.faults.workers import TARGETS, WorkerFault

KILL = Kind(
    "kill",
    "SIGKILL of a worker",
    WorkerFault,
    targets={**TARGETS, "standby": "true: a ready standby; or the one of that id"},
)
