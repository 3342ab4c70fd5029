"""SIGSTOP of a worker and SIGCONT before anybody should notice: who replaces it has a hair trigger."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from signal import SIGCONT, SIGSTOP

from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Kind, Target
from drills.faults.running_system import RunningSystem
from drills.faults.workers import TARGETS, WorkerFault
from drills.params import Param
from standfast.core.errors import ClusterError, DrillRejected

_SEEN_WITHIN_S = 1.0  # for the kernel to stop the process
_POLL_S = 0.001
_TICK_MS = 100  # the worker's last tick may be 50 ms old, and the supervisor looks every 100 ms


class ShortFreeze(WorkerFault):
    """Stops and continues a worker within `inject`: on a busy machine a second order would come too late."""

    name = "short-freeze"

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        super().__init__(system, aim)
        self._for_ms = float(self.aim.params["for_ms"])
        self._stood_ms: float | None = None
        self._is_resumed = False

    def choose(self) -> Target:
        """The worker, with its restarts so far; rejected if the freeze is so long that it has to be noticed."""
        limit_ms = self.system.settings.workers.hang_after_ms
        if self._for_ms + _TICK_MS > limit_ms:
            raise DrillRejected(
                f"for_ms = {self._for_ms:g}: a worker that stands still for workers.hang_after_ms = {limit_ms} is to "
                f"be replaced; give at most {limit_ms - _TICK_MS}, or run worker-freeze"
            )
        (process,) = super().choose().processes
        restarts = {worker.id: worker.restarts for worker in self.system.status().workers}.get(process.id, 0)
        self.target = replace(self.target, gone=(), before={"restarts": restarts})
        return self.target

    def strike(self) -> None:
        """Sends SIGSTOP, and SIGCONT `for_ms` after the process was seen to be stopped."""
        (victim,) = self.held
        victim.signal(SIGSTOP)
        try:
            deadline = time.monotonic() + _SEEN_WITHIN_S
            while not victim.is_stopped() and not victim.dead_within(0) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
            if victim.is_stopped():
                began = time.monotonic()
                time.sleep(self._for_ms / 1000)
                self._stood_ms = (time.monotonic() - began) * 1000 if victim.is_stopped() else None
        finally:
            self.undo()

    def injected(self, within_s: float) -> Finding:  # noqa: ARG002 - `strike` has looked already
        """Whether it was seen to stand still; `unknown` if so long that it had to be taken for one that hangs."""
        if self._stood_ms is None:
            return Finding("failed", f"{self.target.named} was not seen to stand still for {self._for_ms:g} ms")
        text = f"{self.target.named} stood still for {self._stood_ms:.0f} ms"
        limit_ms = self.system.settings.workers.hang_after_ms
        if self._stood_ms + _TICK_MS > limit_ms:
            return Finding("unknown", f"{text}, and {self._for_ms:g} were meant: this machine is too busy for it")
        return Finding("passed", f"{text}; it owned partitions {list(self.target.partitions)}")

    def undo(self) -> None:
        """Sends SIGCONT, if the process still exists."""
        for process in self.held:
            with contextlib.suppress(DrillRejected):
                process.signal(SIGCONT)

    def undone(self) -> Finding:
        """Whether the same process serves, and nobody was started in its place.

        After the death of the process that had stopped it the worker may have been replaced: it stood still for long.
        """
        if any(process.is_stopped() for process in self.held):
            return Finding("failed", f"{self.target.named} still stands still")
        if self._is_resumed:
            return super().undone()
        try:
            rows = {row.id: row for row in self.system.status().workers if row.role == "active"}
        except ClusterError as error:
            return Finding("unknown", f"whether {self.target.named} was replaced is not known: {error}")
        (victim,) = self.target.processes
        row = rows.get(victim.id)
        if row is None or row.pid != victim.pid or row.restarts != self.target.before["restarts"]:
            now = "nobody serves in its place" if row is None else f"process {row.pid} serves in its place"
            return Finding("failed", f"{self.target.named} was taken for one that hangs: {now}")
        if row.state != "serving":
            return Finding("failed", f"{self.target.named} is {row.state}")
        return Finding("passed", f"{self.target.named} goes on, and nobody was started in its place")

    def resume(self, target: Target) -> Finding:
        """`passed` if it is still stopped; `unknown` if not, because it may have been continued since."""
        super().resume(target)
        self._is_resumed, self._spared = True, frozenset(process.pid for process in target.processes)
        if any(process.is_stopped() for process in self.held):
            return Finding("passed", f"{target.named} stands still")
        return Finding("unknown", f"{target.named} does not stand still now; whether it did nobody saw")


SHORT_FREEZE = Kind(
    "short-freeze",
    "SIGSTOP of a worker, shorter than anybody should notice",
    ShortFreeze,
    targets=TARGETS,
    undo="the process goes on (SIGCONT); the drill checks that it was not replaced",
    params=(Param("for_ms", 200.0, "how long it stands still; less than workers.hang_after_ms", 1, 10_000),),
)
