"""SIGTERM of one worker; seed after seed it is the next one's turn, as in a rolling restart."""

from __future__ import annotations

from signal import SIGTERM

from drills.faults.injector import Kind
from drills.faults.workers import OnWorkers, one_worker
from standfast.core.errors import DrillRejected
from standfast.core.status import WorkerStatus


class Stop(OnWorkers):
    """Asks it to end."""

    name = "stop"
    done = "has stopped"

    def victims(self) -> list[WorkerStatus]:
        """The one the aim names, else the next in turn."""
        if self.aim.target:
            return [one_worker(self.scene, self.aim, self.random)]
        workers = self.scene.workers()
        if not workers:
            raise DrillRejected(f"no worker of {self.scene.service.name} has partitions; see: standfast status")
        return [workers[self.aim.seed % len(workers)]]

    def strike(self) -> None:
        """One signal each."""
        for one in self.held:
            one.signal(SIGTERM)


STOP = Kind("stop", "SIGTERM of a worker", Stop, figure="pause")
