"""SIGSTOP of a worker, and SIGCONT once its successor serves: a worker that hung must not answer after that."""

from __future__ import annotations

import contextlib
import time
from signal import SIGCONT, SIGSTOP

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Kind, Process, Target
from drills.faults.process_handle import ProcessHandle
from drills.faults.workers import TARGETS, WorkerFault
from drills.params import Param
from standfast.core.errors import ClusterError, DrillRejected

_POLL_S = 0.005


class Hang(WorkerFault):
    """Stops the worker. If it answers after SIGCONT, the drill counts duplicated answers."""

    name = "hang"
    done = "stands still"

    def strike(self) -> None:
        """Sends SIGSTOP to each process."""
        for process in self.held:
            process.signal(SIGSTOP)

    def inject(self) -> Fault:
        """Stops the worker, for `at_most_s` seconds."""
        fault = super().inject()
        self._undo_at = fault.at + float(self.aim.params["at_most_s"])
        return fault

    def injected(self, within_s: float) -> Finding:
        """Whether the process is stopped; `unknown` if it has ended: the supervisor kills a worker that hangs."""
        (victim,), deadline = self.held, time.monotonic() + within_s
        while time.monotonic() < deadline:
            if self.stands_still(victim):
                return Finding(
                    "passed", f"{self.target.named} {self.done}; it owned partitions {list(self.target.partitions)}"
                )
            if victim.dead_within(0):
                return Finding("unknown", f"{self.target.named} ended before it was seen to stand still")
            time.sleep(_POLL_S)
        return Finding("failed", f"{self.target.named} still goes on {within_s:g} s after it was to stand still")

    def stands_still(self, process: ProcessHandle) -> bool:
        """Whether the process is stopped."""
        return process.is_stopped()

    def lasted(self) -> bool:
        """Whether another process serves under the worker's identity, or `at_most_s` is over."""
        if time.monotonic() > self._undo_at:
            return True
        try:
            workers = self.system.workers()
        except ClusterError:
            return False
        return any(worker.id == old.id and worker.pid != old.pid for worker in workers for old in self.target.processes)

    def undo(self) -> None:
        """Sends SIGCONT, if the process still exists."""
        for process in self.held:
            with contextlib.suppress(DrillRejected):
                process.signal(SIGCONT)

    def undone(self) -> Finding:
        """Whether a successor serves and the old process has ended: two that serve one identity would both answer."""
        finding = super().undone()
        if finding.check != "passed":
            return finding
        old = [process for process in self.held if not process.dead_within(0)]
        serving = {worker.pid for worker in self.system.workers()}
        if beside := [process.process for process in old if process.process.pid not in serving]:
            names = ", ".join(f"process {process.pid} ({process.id})" for process in beside)
            return Finding("failed", f"{names} woke up and has not ended beside its successor; {finding.text}")
        went_on = "it went on, as nobody had taken over" if old else "the old process has ended and cannot answer"
        return Finding("passed", f"{finding.text}; {went_on}")

    def resume(self, target: Target) -> Finding:
        """`passed` if it is still stopped; `unknown` if not, because it may have been continued since."""
        super().resume(target)
        self._undo_at = time.monotonic()
        if any(self.stands_still(process) for process in self.held):
            return Finding("passed", f"{target.named} {self.done}")
        return Finding("unknown", f"{target.named} does not stand still now; whether it did nobody saw")

    def may_serve(self, victim: Process, pid: int) -> bool:
        """Whether it is another process, or the victim itself, if it goes on."""
        return pid != victim.pid or not any(self.stands_still(process) for process in self.held)


HANG = Kind(
    "hang",
    "SIGSTOP of a worker",
    Hang,
    targets=TARGETS,
    undo="the process goes on (SIGCONT), and ends itself when it sees that another serves in its place",
    params=(Param("at_most_s", 10.0, "it is woken after so long, if nobody has taken over from it by then", 0.1, 300),),
)
