"""What the running system says of itself: `run/status.json`, written by the supervisor, read by everyone else.

The supervisor writes the same to the topic `status`, for other hosts (`host_statuses` reads it); this file is there
when Kafka is not.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Literal

import msgspec

from standfast.core.home import folder
from standfast.core.keeping import write_whole

TOPIC = "status"
State = Literal["starting", "ready", "degraded", "stopping"]
RoleState = Literal["starting", "running", "backing_off"]
WorkerState = Literal["starting", "ready", "serving", "draining", "backing_off"]


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One worker or standby process. A standby's `id` names its slot until it takes over a worker's.

    `failing`: why its model answers nothing, while that is so. `waiting`: for what in Kafka, if for more than a second.
    """

    id: str
    pid: int
    service: str
    group: str
    role: Literal["active", "standby"]
    state: WorkerState
    model: str = ""
    partitions: dict[str, list[int]] = {}
    restarts: int = 0
    failing: str = ""
    waiting: str = ""


class RoleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The stream processor, the drill runner or a broker.

    `failing`: who keeps ending or does nothing, since when and with what error, while that is so; `since`: the same in
    epoch ms. `ended`: why it ended the last time.
    """

    id: str
    pid: int
    state: RoleState
    restarts: int = 0
    failing: str = ""
    since: int = 0
    ended: str = ""


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How many workers one service is to have and has, what they have to do, and why there are so many.

    `settled`: as many as are wanted serve, and each partition is served. `most` is limited by the partitions.
    """

    name: str
    workers: int
    serving: int
    settled: bool
    auto: bool
    fewest: int
    most: int
    partitions: int
    busy: float | None = None
    waiting: int | None = None
    reason: str = ""


class SystemStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole system at one moment; `at` is epoch milliseconds.

    `degraded`: it was ready, and something does not work, hangs or keeps ending; `detail` says what.
    `supervisor_started` is as `started_at` says: a pid alone may be another process's by the time it is used.
    `host`: which supervisor says it, where several share the topic `status` (`host_key`).
    """

    state: State
    at: int
    supervisor_pid: int
    supervisor_started: int = 0
    bootstrap_servers: str
    metrics_url: str
    host: str = ""
    workers: list[WorkerStatus] = []
    roles: list[RoleStatus] = []
    topics: list[str] = []
    services: list[ServiceStatus] = []
    detail: str = ""


def status_file() -> Path:
    """Where the status lies."""
    return folder("run") / "status.json"


def lock_file() -> Path:
    """The file the supervisor holds locked for as long as it lives."""
    return folder("run") / "up.lock"


def is_running() -> bool:
    """Whether a supervisor lives on this state folder: its lock is held, whatever files are left behind.

    Asked with a shared lock: readers are not in each other's way, and none takes another for the supervisor.
    """
    descriptor = os.open(lock_file(), os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read() -> SystemStatus | None:
    """The status of the running system, None when none is running or it has not said anything readable yet.

    The lock is looked at first: who holds it removed what a dead system had said before. The other way round a reader
    took the dead one's status, waited, and found the next system's lock held.
    """
    if not is_running():
        return None
    try:
        return msgspec.json.decode(status_file().read_bytes(), type=SystemStatus)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def started_at(pid: int) -> int:
    """When a process was started, in clock ticks since the machine was: with it, a pid names one process for ever.

    0 where there is no such process.
    """
    try:
        line = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0
    return int(line.rpartition(")")[2].split()[19])


def write(status: SystemStatus) -> None:
    """Replaces the status in one step, so that no reader sees half of it."""
    write_whole(status_file(), msgspec.json.format(msgspec.json.encode(status)), lasting=False)
