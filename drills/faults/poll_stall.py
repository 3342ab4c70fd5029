"""A worker's loop stands still while its process lives and its heartbeat goes on: nothing is polled or answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from consumers.channel.loop_steps import LoopSteps, loop_file
from drills.evidence.verdict import Finding
from drills.faults.hang import Hang
from drills.faults.injector import Kind, Target
from drills.faults.process_handle import ProcessHandle
from drills.faults.slot_files import slot_of
from drills.faults.workers import TARGETS
from drills.params import Param
from standfast.core.errors import DrillRejected
from standfast.core.home import folder

_STILL_S = 0.5  # without a step; a loop with nothing to do makes ten steps a second
_SUFFIX = ".loop"


class PollStall(Hang):
    """Orders the loop to stand still, through the file of its steps. The order ends by itself after `at_most_s`."""

    name = "poll-stall"
    done = "lives, and its loop stands still"

    def choose(self) -> Target:
        """The worker, and the slot whose file its process has mapped."""
        target = super().choose()
        (process,) = target.processes
        slot = slot_of(process.pid, _SUFFIX)
        if not slot:
            raise DrillRejected(f"{target.named} has no file of its loop's steps; it is of an older version")
        self.target = replace(target, before={"slot": slot})
        return self.target

    def strike(self) -> None:
        """Writes the order."""
        with self._steps() as steps:
            steps.stand_still(float(self.aim.params["at_most_s"]))

    def stands_still(self, process: ProcessHandle) -> bool:
        """Whether the process lives, is not stopped, and its loop makes no step although it did before."""
        with self._steps() as steps:
            is_still = steps.is_to_stand_still and (steps.age_s or 0.0) > _STILL_S
        return is_still and not process.dead_within(0) and not process.is_stopped()

    def undo(self) -> None:
        """Takes the order away; a later process of the same slot has begun without it."""
        if "slot" in self.target.before:
            with self._steps() as steps:
                steps.stand_still(0)

    def undone(self) -> Finding:
        """As for a worker that hangs, and whether no order is left."""
        with self._steps() as steps:
            if steps.is_to_stand_still:
                return Finding("failed", f"the loop of {self.target.named} is still to stand still")
        return super().undone()

    @contextmanager
    def _steps(self) -> Iterator[LoopSteps]:
        steps = LoopSteps(loop_file(folder("run", "slots"), str(self.target.before["slot"])))
        try:
            yield steps
        finally:
            steps.close()


POLL_STALL = Kind(
    "poll-stall",
    "a worker's loop stands still, its process lives",
    PollStall,
    targets=TARGETS,
    undo="the order to stand still is taken away; it ends by itself after at_most_s",
    params=(Param("at_most_s", 60.0, "it goes on by itself after so long", 1, 300),),
)
