"""SIGSTOP of a worker, and SIGCONT when its successor serves: whoever hung must not answer any more."""

from __future__ import annotations

import contextlib
import time
from signal import SIGCONT, SIGSTOP

from drills.drill import Param
from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Kind, Process, Target
from drills.faults.workers import OnWorkers
from standfast.core.errors import ClusterError, DrillRejected

_POLL_S = 0.005


class Hang(OnWorkers):
    """Stops it; whether the woken one answered, the count of doubled answers tells."""

    name = "hang"
    done = "stands still"

    def strike(self) -> None:
        """One signal each."""
        for one in self.held:
            one.signal(SIGSTOP)

    def inject(self) -> Fault:
        """Notes until when it may last."""
        fault = super().inject()
        self._until = fault.at + float(self.aim.params["at_most_s"])
        return fault

    def injected(self, within_s: float) -> Finding:
        """Whether the process stands still; the supervisor may have ended it by then, which shows as much."""
        (victim,), until = self.held, time.monotonic() + within_s
        while time.monotonic() < until:
            if victim.is_stopped():
                return Finding(
                    "passed", f"{self.target.named} {self.done}; it owned partitions {list(self.target.partitions)}"
                )
            if victim.dead_within(0):
                return Finding("unknown", f"{self.target.named} ended before it was seen to stand still")
            time.sleep(_POLL_S)
        return Finding("failed", f"{self.target.named} still runs {within_s:g} s after SIGSTOP")

    def lasted(self) -> bool:
        """Until another process serves under its identity, or for `at_most_s`."""
        if time.monotonic() > self._until:
            return True
        try:
            workers = self.scene.workers()
        except ClusterError:
            return False
        return any(worker.id == was.id and worker.pid != was.pid for worker in workers for was in self.target.processes)

    def undo(self) -> None:
        """Wakes it, if it is there still."""
        for one in self.held:
            with contextlib.suppress(DrillRejected):
                one.signal(SIGCONT)

    def resume(self, target: Target) -> Finding:
        """Whether it stands still; it may have been woken since."""
        super().resume(target)
        self._until = time.monotonic()
        if any(one.is_stopped() for one in self.held):
            return Finding("passed", f"{target.named} {self.done}")
        return Finding("unknown", f"{target.named} does not stand still now; whether it did nobody saw")

    def may_serve(self, victim: Process, pid: int) -> bool:
        """Another process, or the same one once it is awake."""
        return pid != victim.pid or not any(one.is_stopped() for one in self.held)


HANG = Kind(
    "hang",
    "SIGSTOP of a worker",
    Hang,
    params=(Param("at_most_s", 10.0, "it is woken after so long, if nobody has taken over from it by then", 0.1, 300),),
)
