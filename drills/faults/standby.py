"""SIGKILL of a worker, and of the standby while that takes over."""

from __future__ import annotations

import contextlib
import time
from signal import SIGKILL

from drills.drill import Param
from drills.faults.injector import Kind
from drills.faults.workers import OnWorkers, one_worker
from standfast.core.errors import DrillRejected
from standfast.core.status import WorkerStatus


class KillHeir(OnWorkers):
    """Strikes all standbys that may be the heir; rejected where there is none."""

    name = "standby"
    done = "were killed"

    def victims(self) -> list[WorkerStatus]:
        """One worker, then every warm standby."""
        heirs = self.scene.standbys()
        if not heirs:
            name = self.scene.service.name
            raise DrillRejected(f"{name} has no warm standby to kill; set {name}.standbys = 1")
        return [one_worker(self.scene, self.aim, self.random), *heirs]

    def strike(self) -> None:
        """The second signal comes at any moment of the takeover."""
        worker, *heirs = self.held
        worker.signal(SIGKILL)
        time.sleep(float(self.aim.params["within_ms"]) / 1000 * self.random.random())
        for heir in heirs:
            with contextlib.suppress(DrillRejected):  # it ended by itself meanwhile
                heir.signal(SIGKILL)


STANDBY = Kind(
    "standby",
    "SIGKILL of a worker and of its heir",
    KillHeir,
    params=(
        Param("within_ms", 40.0, "the heir dies so long after the worker at most; a takeover is as long", 0, 1000),
    ),
)
