"""The bases of faults on one process that is no worker: a broker, a role or a nursery."""

from __future__ import annotations

import time
from signal import SIGKILL, Signals

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Target
from drills.faults.process_handle import ProcessHandle, still_held
from drills.faults.running_system import RunningSystem
from standfast.core.errors import DrillRejected


class HeldProcessFault:
    """A signal to the process that `choose` has taken hold of. Every partition of the service counts as hit."""

    name = ""
    what = ""

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        self.system = system
        self.aim = aim
        self.target = Target(self.what, (), ())
        self.is_spared = False  # the process still ran when the fault was resumed
        self.held: ProcessHandle | None = None

    @property
    def sent(self) -> Signals:
        """The signal that is sent."""
        return SIGKILL

    def inject(self) -> Fault:
        """Sends the signal; raises DrillRejected if the process has ended by itself."""
        assert self.held is not None  # noqa: S101 - `choose` comes first
        at = time.monotonic()
        self.held.signal(self.sent)
        return self.target.struck(self.name, at)

    def lasted(self) -> bool:
        """Always True: a killed process stays dead, so the undo can begin at once."""
        return True

    def undo(self) -> None:
        """Does nothing: the supervisor starts the process again."""

    def resume(self, target: Target) -> Finding:
        """`failed` if the process still runs, so was not killed; `unknown` if it ended: the cause is not known."""
        self.target = target
        self.held = next(iter(still_held(target.processes)), None)
        self.is_spared = self.held is not None
        if self.is_spared:
            return Finding("failed", f"{target.named} was not struck: it still runs")
        return Finding("unknown", f"{target.named} ended; whether the drill did it nobody saw")

    def close(self) -> None:
        """Closes the handle of the process."""
        if self.held is not None:
            self.held.close()
        self.held = None


class OneProcessFault(HeldProcessFault):
    """SIGKILL of the process that `victim` returns."""

    def victim(self) -> tuple[str, int]:
        """Name and pid of the process that is to be killed now; raises DrillRejected if there is none."""
        raise NotImplementedError

    def choose(self) -> Target:
        """The process; on a second call it must still be the same one, else DrillRejected."""
        name, pid = self.victim()
        if self.held is None:
            self.held = ProcessHandle(name, pid)
        if self.held.process.pid != pid:
            raise DrillRejected(f"{name} was replaced while the steady state was checked; nothing was injected")
        workers = self.system.workers()
        hit = tuple(tuple(sorted(self.system.partitions(worker))) for worker in workers)
        self.target = Target(self.what, (self.held.process,), hit, gone=(pid,))
        return self.target

    def injected(self, within_s: float) -> Finding:
        """Whether the process has ended."""
        if self.held is not None and self.held.dead_within(within_s):
            return Finding("passed", f"{self.target.named} was killed")
        return Finding("failed", f"{self.target.named} still runs {within_s:g} s after SIGKILL")

    def undone(self) -> Finding:
        """Whether another process does its work."""
        raise NotImplementedError
