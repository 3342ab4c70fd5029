"""SIGKILL of two workers at the same moment: there may be one standby for both."""

from __future__ import annotations

from drills.faults.injector import Kind
from drills.faults.workers import OnWorkers
from standfast.core.errors import DrillRejected
from standfast.core.status import WorkerStatus


class KillTwo(OnWorkers):
    """Rejected where there are no two."""

    name = "two"
    done = "were killed"

    def victims(self) -> list[WorkerStatus]:
        """Any two that have partitions."""
        workers = self.scene.workers()
        if len(workers) < 2:
            name = self.scene.service.name
            raise DrillRejected(f"{name} has {len(workers)} worker with partitions; two are to be killed")
        return self.random.sample(workers, 2)


TWO = Kind("two", "SIGKILL of two workers at once", KillTwo)
