"""All faults, one file each: a fault is injected, checked, undone, and checked again.

A new fault is a file with a `Kind` (`drills.faults.injector`) and an entry in this table.
"""

from __future__ import annotations

from drills.faults.below_min_isr import BELOW_MIN_ISR
from drills.faults.clock import CLOCK
from drills.faults.controller import CONTROLLER
from drills.faults.coordinator import COORDINATOR
from drills.faults.cpu import CPU
from drills.faults.crash_loop import CRASH_LOOP
from drills.faults.denied import DENIED
from drills.faults.descriptors import DESCRIPTORS
from drills.faults.disk import DISK
from drills.faults.flood import FLOOD
from drills.faults.freeze import FREEZE
from drills.faults.hang import HANG
from drills.faults.host import HOST
from drills.faults.hot_key import HOT_KEY
from drills.faults.incompatible import INCOMPATIBLE
from drills.faults.injector import Kind
from drills.faults.kill import KILL
from drills.faults.kill_before_commit import KILL_BEFORE_COMMIT
from drills.faults.lag import LAG
from drills.faults.leader import LEADER
from drills.faults.malformed_avro import MALFORMED_AVRO
from drills.faults.memory import MEMORY
from drills.faults.model_bit_flip import MODEL_BIT_FLIP
from drills.faults.model_device_lost import MODEL_DEVICE_LOST
from drills.faults.model_file_corrupt import MODEL_FILE_CORRUPT
from drills.faults.model_nan import MODEL_NAN
from drills.faults.model_out_of_memory import MODEL_OUT_OF_MEMORY
from drills.faults.model_slow import MODEL_SLOW
from drills.faults.network_bandwidth import NETWORK_BANDWIDTH
from drills.faults.network_isolation import NETWORK_ISOLATION
from drills.faults.network_latency import NETWORK_LATENCY
from drills.faults.network_partition import NETWORK_PARTITION
from drills.faults.network_reset import NETWORK_RESET
from drills.faults.nursery import NURSERY
from drills.faults.oversize import OVERSIZE
from drills.faults.poison import POISON
from drills.faults.poll_stall import POLL_STALL
from drills.faults.rebalance_storm import REBALANCE_STORM
from drills.faults.records_gone import RECORDS_GONE
from drills.faults.registry_down import REGISTRY_DOWN
from drills.faults.retry_storm import RETRY_STORM
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
    COORDINATOR,
    FREEZE,
    SUPERVISOR,
    HOST,
    BELOW_MIN_ISR,
    OVERSIZE,
    DENIED,
    RECORDS_GONE,
    REBALANCE_STORM,
    LAG,
    HOT_KEY,
    POISON,
    MALFORMED_AVRO,
    INCOMPATIBLE,
    SHORT_FREEZE,
    CRASH_LOOP,
    ROLE,
    NURSERY,
    POLL_STALL,
    CPU,
    MEMORY,
    DESCRIPTORS,
    DISK,
    NETWORK_LATENCY,
    NETWORK_PARTITION,
    NETWORK_ISOLATION,
    NETWORK_BANDWIDTH,
    NETWORK_RESET,
    REGISTRY_DOWN,
    CLOCK,
    FLOOD,
    RETRY_STORM,
    KILL_BEFORE_COMMIT,
    MODEL_BIT_FLIP,
    MODEL_FILE_CORRUPT,
    MODEL_NAN,
    MODEL_SLOW,
    MODEL_OUT_OF_MEMORY,
    MODEL_DEVICE_LOST,
)
FAULTS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}


def fault_named(name: str) -> Kind:
    """The fault of that name; raises UsageError, naming the nearest one."""
    if name not in FAULTS:
        raise UsageError(f"there is no fault {name[:100]!r}{nearest(name, list(FAULTS))}")
    return FAULTS[name]
