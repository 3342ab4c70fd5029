"""Where a fault is made: the system that is struck, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from consumers.service import Service
from drills.running.targets import active_workers, owned_by, system
from standfast.core.errors import ClusterError
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus, WorkerStatus


class SystemControl(Protocol):
    """A system that whoever makes the fault has started, and may end and start as a whole."""

    def status(self) -> SystemStatus | None:
        """What it says of itself; None while it does not run."""

    def pids(self) -> frozenset[int]:
        """Its supervisor and everything that this has started."""

    def kill(self) -> float:
        """SIGKILL of its supervisor alone; returns when (monotonic) that was, once it is gone."""

    def start(self) -> None:
        """Starts it and returns at once."""

    def model_loaded(self) -> float:
        """When (monotonic) its model was in memory; waits for it."""


@dataclass(frozen=True, slots=True)
class RunningSystem:
    """The system that is struck. `place` is None for one that was there before."""

    settings: Settings
    service: Service
    place: SystemControl | None = None

    def status(self) -> SystemStatus:
        """What it says of itself; raises ClusterError if nothing runs."""
        running = system()
        if running is None:
            raise ClusterError("the system is gone; see `standfast status`")
        return running

    def workers(self) -> list[WorkerStatus]:
        """The service's workers that have partitions, by id."""
        return [worker for worker in active_workers(self.status(), self.service) if self.partitions(worker)]

    def standbys(self) -> list[WorkerStatus]:
        """Its warm standbys."""
        rows = self.status().workers
        return [row for row in rows if row.group == self.service.group and row.state == "ready"]

    def partitions(self, worker: WorkerStatus) -> frozenset[int]:
        """The request partitions of a worker."""
        return frozenset(owned_by(worker, self.service))


def pids(running: SystemStatus) -> frozenset[int]:
    """Every process that the status names."""
    workers, roles = (worker.pid for worker in running.workers), (role.pid for role in running.roles)
    return frozenset([running.supervisor_pid, *workers, *roles]) - {0}
