"""All faults, one file each: a fault is injected, checked, undone, and checked again.

A new fault is a file with a `Kind` (`drills.faults.injector`) and an entry in this table.
"""

from __future__ import annotations

from drills.faults.clock import CLOCK
from drills.faults.controller import CONTROLLER
from drills.faults.cpu import CPU
from drills.faults.crash_loop import CRASH_LOOP
from drills.faults.descriptors import DESCRIPTORS
from drills.faults.disk import DISK
from drills.faults.hang import HANG
from drills.faults.host import HOST
from drills.faults.injector import Kind
from drills.faults.kill import KILL
from drills.faults.leader import LEADER
from drills.faults.memory import MEMORY
from drills.faults.nursery import NURSERY
from drills.faults.poll_stall import POLL_STALL
from drills.faults.role import ROLE
from drills.faults.short_freeze import SHORT_FREEZE
from drills.faults.standby import STANDBY
from drills.faults.stop import STOP
from drills.faults.supervisor import SUPERVISOR
from drills.faults.two import TWO
from drills.params import nearest
from standfast.core.errors import UsageError

_KINDS = (
    KILL,
    HANG,
    TWO,
    STANDBY,
    STOP,
    LEADER,
    CONTROLLER,
    SUPERVISOR,
    HOST,
    SHORT_FREEZE,
    CRASH_LOOP,
    ROLE,
    NURSERY,
    POLL_STALL,
    CPU,
    MEMORY,
    DESCRIPTORS,
    DISK,
    CLOCK,
)
FAULTS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}


def fault_named(name: str) -> Kind:
    """The fault of that name; raises UsageError, naming the nearest one."""
    if name not in FAULTS:
        raise UsageError(f"there is no fault {name[:100]!r}{nearest(name, list(FAULTS))}")
    return FAULTS[name]
