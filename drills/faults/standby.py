"""SIGKILL of a worker, and of the standby while it takes over."""

from __future__ import annotations

import contextlib
import time
from signal import SIGKILL

from drills.faults.injector import Kind
from drills.faults.workers import TARGETS, WorkerFault, one_worker
from drills.params import Param
from standfast.core.errors import DrillRejected
from standfast.core.status import WorkerStatus


class KillStandby(WorkerFault):
    """Kills a worker and all ready standbys, since any of them may take over; rejected if there is none."""

    name = "standby"
    done = "were killed"

    def victims(self) -> list[WorkerStatus]:
        """One worker, then every ready standby."""
        standbys = self.system.standbys()
        if not standbys:
            name = self.system.service.name
            raise DrillRejected(f"{name} has no warm standby to kill; set {name}.standbys = 1")
        return [one_worker(self.system, self.aim, self.random), *standbys]

    def strike(self) -> None:
        """Kills the worker, and the standbys at a random moment of the takeover."""
        worker, *standbys = self.held
        worker.signal(SIGKILL)
        time.sleep(float(self.aim.params["within_ms"]) / 1000 * self.random.random())
        for standby in standbys:
            with contextlib.suppress(DrillRejected):  # it has ended by itself
                standby.signal(SIGKILL)


STANDBY = Kind(
    "standby",
    "SIGKILL of a worker and of its heir",
    KillStandby,
    targets=TARGETS,
    params=(
        Param("within_ms", 40.0, "the heir dies so long after the worker at most; a takeover is as long", 0, 1000),
    ),
)
