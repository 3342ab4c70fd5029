"""SIGKILL of two workers at the same moment, with perhaps only one standby for both."""

from __future__ import annotations

from drills.faults.injector import Kind
from drills.faults.workers import WorkerFault
from standfast.core.errors import DrillRejected
from standfast.core.status import WorkerStatus


class KillTwo(WorkerFault):
    """Kills two workers; rejected if fewer than two have partitions."""

    name = "two"
    done = "were killed"

    def victims(self) -> list[WorkerStatus]:
        """Two random workers that have partitions."""
        workers = self.system.workers()
        if len(workers) < 2:
            name = self.system.service.name
            raise DrillRejected(f"{name} has {len(workers)} worker with partitions; two are to be killed")
        return self.random.sample(workers, 2)


TWO = Kind("two", "SIGKILL of two workers at once", KillTwo)
