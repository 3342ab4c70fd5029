"""The base of faults in a model: the worker is ordered to make its model fail, and recovers when the order ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from consumers.channel.disturbance import Disturbance, Suffering, disturbance_file
from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Process, Target
from drills.faults.slot_files import slot_of
from drills.faults.workers import WorkerFault
from drills.params import Param
from standfast.core.errors import DrillRejected
from standfast.core.home import folder

AT_MOST = Param("at_most_s", 10.0, "the order ends by itself after so long", 0.1, 300)
UNDO = "the order is taken away; it ends by itself after at_most_s"
_SUFFIX = ".model"
_POLL_S = 0.01


class ModelFault(WorkerFault):
    """Orders what `kind` says, through a file that the worker has mapped. The worker lives on, or ends of it."""

    kind: Suffering
    done = ""

    @property
    def amount(self) -> int:
        """The order's amount; see `Disturbance.amount`."""
        return 0

    def choose(self) -> Target:
        """The worker, and the slot whose file its process has mapped."""
        target = super().choose()
        (process,) = target.processes
        slot = slot_of(process.pid, _SUFFIX)
        if not slot:
            raise DrillRejected(f"{target.named} takes no orders for its model; it is of an older version")
        self.target = replace(target, gone=(), before={"slot": slot})
        return self.target

    def strike(self) -> None:
        """Writes the order."""
        with self.disturbance() as disturbance:
            disturbance.order(self.kind, float(self.aim.params["at_most_s"]), self.amount)

    def inject(self) -> Fault:
        """Orders it for `at_most_s` seconds."""
        fault = super().inject()
        self._ends_at = fault.at + float(self.aim.params["at_most_s"])
        return fault

    def injected(self, within_s: float) -> Finding:
        """Whether the worker says that its model has suffered it."""
        deadline = time.monotonic() + within_s
        while not (suffered := self._suffered()):
            if time.monotonic() > deadline:
                return Finding("failed", f"the model of {self.target.named} has suffered nothing in {within_s:g} s")
            time.sleep(_POLL_S)
        times = "once" if suffered == 1 else f"{suffered} times so far"
        return Finding("passed", f"the model of {self.target.named} {self.done}, {times}")

    def lasted(self) -> bool:
        """Whether the order has ended, or the worker has."""
        return time.monotonic() > self._ends_at or self.is_dead

    def undo(self) -> None:
        """Takes the order away; a later process of the same slot has begun without it."""
        if "slot" in self.target.before:
            with self.disturbance() as disturbance:
                disturbance.clear()

    def undone(self) -> Finding:
        """Whether no order is left, the model answers again, and whoever serves is there, with as many standbys."""
        with self.disturbance() as disturbance:
            if disturbance.kind is not None:
                return Finding("failed", f"the model of {self.target.named} is still to suffer")
        names = {process.id for process in self.target.processes}
        failing = [row.failing for row in self.system.workers() if row.id in names and row.failing]
        if failing:
            return Finding("failed", f"it does not answer yet: {failing[0]}")
        finding = super().undone()
        fate = "it has ended of that and was replaced" if self.is_dead else "it lives on, without an order"
        return Finding(finding.check, f"{finding.text}; {fate}")

    def may_serve(self, victim: Process, pid: int) -> bool:  # noqa: ARG002 - either may
        """Always True: the victim itself, if it lives on, or its successor."""
        return True

    def resume(self, target: Target) -> Finding:
        """`passed` if the order still holds; `unknown` if not, because it may have ended since."""
        super().resume(target)
        self._ends_at = time.monotonic()
        with self.disturbance() as disturbance:
            if self.held and disturbance.kind == self.kind and disturbance.suffered:
                return Finding("passed", f"the model of {target.named} {self.done}")
        return Finding("unknown", f"the model of {target.named} suffers nothing now; whether it did nobody saw")

    @property
    def is_dead(self) -> bool:
        """Whether the process of the victim has ended."""
        return all(handle.dead_within(0) for handle in self.held)

    @contextmanager
    def disturbance(self) -> Iterator[Disturbance]:
        """The file of the victim's slot."""
        made = Disturbance(disturbance_file(folder("run", "slots"), str(self.target.before["slot"])))
        try:
            yield made
        finally:
            made.close()

    def _suffered(self) -> int:
        with self.disturbance() as disturbance:
            return disturbance.suffered
