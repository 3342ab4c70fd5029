"""The running system's status: `run/status.json`, written by the supervisor, read by everyone else on the machine.

The supervisor writes the same record to the topic `status`, for other hosts (`host_statuses` reads it). The file works
without Kafka.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Literal

import msgspec

from standfast.core.home import folder
from standfast.core.keeping import write_whole
from standfast.core.processes.proc_stat import proc_stat

TOPIC = "status"
State = Literal["starting", "ready", "degraded", "stopping"]
RoleState = Literal["starting", "running", "backing_off"]
WorkerState = Literal["starting", "ready", "serving", "draining", "backing_off"]


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One worker or standby process. A standby's `id` is its slot until it takes over a worker's identity.

    `failing`: why its model fails on every request, else empty. `waiting`: what it waits for in Kafka, if for more than
    a second.
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

    `failing`: that it keeps ending or hangs, since when and with what error, else empty; `since`: the same time in
    epoch ms, else 0. `ended`: why it ended the last time.
    """

    id: str
    pid: int
    state: RoleState
    restarts: int = 0
    failing: str = ""
    since: int = 0
    ended: str = ""


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How many workers one service has and is to have, how busy they are, the reason for their number, and its models.

    `settled`: the wanted number serves, and every partition is served. `most` is at most the number of partitions.
    `champion`, `challenger`: the versions that are to serve and to be tried beside it (empty: none); the challenger
    answers the `share` of the keys, and computes the others too in the `shadow`. `canary`: what it has done so far, why
    it is not tried, or why the last one ended by itself.
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
    champion: str = ""
    challenger: str = ""
    share: float = 0.0
    shadow: bool = False
    canary: str = ""


class TakeoverStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's identity that was vacant and is served again, by the process `pid`, which was the standby `standby`.

    `at` is epoch milliseconds, `after_ms` how long it was vacant. `partitions` are those of the new process.
    """

    at: int
    service: str
    worker: str
    standby: str
    pid: int
    after_ms: float
    partitions: dict[str, list[int]] = {}


class SystemStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole system at one moment; `at` is epoch milliseconds.

    `degraded`: it was ready, and now something fails, hangs or keeps ending; `detail` says what.
    `supervisor_started` is the pid's `started_at`, since a pid alone may be reused by another process.
    `host`: the `host_key` of the supervisor, as several may share the topic `status`.
    `takeovers`: the last ones since the supervisor started, each service's oldest first. `console_url`: empty while
    there is no console.
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
    takeovers: list[TakeoverStatus] = []
    console_url: str = ""


def status_file() -> Path:
    """The path of the status file."""
    return folder("run") / "status.json"


def lock_file() -> Path:
    """The file on which the supervisor holds a lock (flock) for as long as it lives."""
    return folder("run") / "up.lock"


def is_running() -> bool:
    """Whether a supervisor runs on this state folder: only its lock counts, since files outlive it.

    The lock is tested with a shared one, so that readers neither block each other nor take one another for the
    supervisor.
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
    """The status of the running system; None when none runs, or it has not written a readable status yet.

    The lock is tested before the file is read, as its holder has removed the last system's file. In the other order, a
    reader got a dead system's status and then found the next system's lock held.
    """
    if not is_running():
        return None
    try:
        return msgspec.json.decode(status_file().read_bytes(), type=SystemStatus)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def started_at(pid: int) -> int:
    """When the process was started, in clock ticks since boot; 0 if there is no such process.

    Pid and start time together identify one process: pids are reused.
    """
    try:
        return proc_stat(pid).started
    except OSError:
        return 0


def write(status: SystemStatus) -> None:
    """Replaces the status file in one step, so that no reader sees half of it."""
    write_whole(status_file(), msgspec.json.format(msgspec.json.encode(status)), lasting=False)
