"""SIGTERM of one worker; each following seed stops the next worker, as in a rolling restart."""

from __future__ import annotations

from signal import SIGTERM

from drills.faults.injector import Kind
from drills.faults.workers import TARGETS, WorkerFault, one_worker
from standfast.core.errors import DrillRejected
from standfast.core.status import WorkerStatus


class Stop(WorkerFault):
    """Asks a worker to stop, with SIGTERM."""

    name = "stop"
    done = "has stopped"

    def victims(self) -> list[WorkerStatus]:
        """The worker that the aim names, else the worker whose turn it is by the seed."""
        if self.aim.target:
            return [one_worker(self.system, self.aim, self.random)]
        workers = self.system.workers()
        if not workers:
            raise DrillRejected(f"no worker of {self.system.service.name} has partitions; see: standfast status")
        return [workers[self.aim.seed % len(workers)]]

    def strike(self) -> None:
        """Sends SIGTERM to each process."""
        for process in self.held:
            process.signal(SIGTERM)


STOP = Kind("stop", "SIGTERM of a worker", Stop, targets=TARGETS, figure="pause")
