"""The system into which a fault is injected, as its status file describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from consumers.service import Service
from drills.running.targets import active_workers, owned_by, read_status
from standfast.core.errors import ClusterError
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus, WorkerStatus


class SystemControl(Protocol):
    """A system that the caller of a fault started itself, and that the fault may kill and start as a whole."""

    def status(self) -> SystemStatus | None:
        """Its status; None while it does not run."""

    def pids(self) -> frozenset[int]:
        """Its supervisor's pid and those of everything that this has started."""

    def kill(self) -> float:
        """Sends SIGKILL to its supervisor only; returns the time (monotonic) of the signal, once that has ended."""

    def start(self) -> None:
        """Starts it and returns at once."""

    def model_loaded(self) -> float:
        """When (monotonic) its model was loaded; waits for that."""


@dataclass(frozen=True, slots=True)
class RunningSystem:
    """The running system and one of its services. `control` is None for a system that was running before."""

    settings: Settings
    service: Service
    control: SystemControl | None = None

    def status(self) -> SystemStatus:
        """Its status; raises ClusterError if nothing runs."""
        status = read_status()
        if status is None:
            raise ClusterError("the system is gone; see `standfast status`")
        return status

    def workers(self) -> list[WorkerStatus]:
        """The service's workers that have partitions, by id."""
        return [worker for worker in active_workers(self.status(), self.service) if self.partitions(worker)]

    def standbys(self) -> list[WorkerStatus]:
        """The service's standbys that are ready."""
        rows = self.status().workers
        return [row for row in rows if row.group == self.service.group and row.state == "ready"]

    def partitions(self, worker: WorkerStatus) -> frozenset[int]:
        """The partitions of the request topic that a worker owns."""
        return frozenset(owned_by(worker, self.service))


def pids(status: SystemStatus) -> frozenset[int]:
    """The pids of all processes in the status."""
    workers, roles = (worker.pid for worker in status.workers), (role.pid for role in status.roles)
    return frozenset([status.supervisor_pid, *workers, *roles]) - {0}
