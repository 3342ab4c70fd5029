"""SIGKILL of the supervisor, with which everything it started ends, and a start at once."""

from __future__ import annotations

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Kind, Target
from drills.faults.process_handle import ProcessHandle, still_held
from drills.faults.running_system import RunningSystem, SystemControl, pids
from standfast.core.errors import DrillRejected


class KillSupervisor:
    """Rejected on a system that whoever makes the fault did not start: nobody would start it again."""

    name = "supervisor"
    needs = "a supervisor is only killed on a system that the benchmark started itself"

    def __init__(self, scene: RunningSystem, aim: Aim) -> None:
        self.scene = scene
        self.aim = aim
        self._held: list[ProcessHandle] = []
        self._started_again = False
        self._is_spared = False
        self.target = Target(self.name, (), ())

    @property
    def place(self) -> SystemControl:
        """The system to be killed; raises DrillRejected."""
        if self.scene.place is None:
            raise DrillRejected(self.needs)
        return self.scene.place

    def doomed(self) -> frozenset[int]:
        """Everything that ends with it."""
        return pids(self.scene.status())

    def choose(self) -> Target:
        """The supervisor's process."""
        running = self.place.status()
        if running is None:
            raise DrillRejected("the system that is to be killed does not run")
        if self._held and self._held[0].process.pid != running.supervisor_pid:
            raise DrillRejected("the supervisor was replaced while the steady state was checked; nothing was injected")
        everything = self.doomed()
        workers = [worker for worker in self.scene.workers() if worker.pid in everything]
        if not workers:
            raise DrillRejected(
                f"the {self.name} that is to be killed serves no partition, so its death would show nothing"
            )
        if not self._held:
            self._held = [ProcessHandle(self.name, running.supervisor_pid)]
        hit = tuple(tuple(sorted(self.scene.partitions(worker))) for worker in workers)
        self.target = Target(self.name, (self._held[0].process,), hit, gone=tuple(sorted(everything)))
        return self.target

    def inject(self) -> Fault:
        """Kills the supervisor alone."""
        return self.target.struck(self.name, self.place.kill())

    def injected(self, within_s: float) -> Finding:
        """Whether the supervisor is gone."""
        if all(one.dead_within(within_s) for one in self._held):
            return Finding("passed", f"{self.target.named} was killed, and with it {len(self.target.gone)} processes")
        return Finding("failed", f"{self.target.named} still runs {within_s:g} s after SIGKILL")

    def lasted(self) -> bool:
        """It is started again at once."""
        return True

    def undo(self) -> None:
        """Starts the system again."""
        if not self._started_again and self.place.status() is None:
            self.place.start()
            self._started_again = True

    def undone(self) -> Finding:
        """Whether it is ready under another supervisor."""
        running = self.place.status()
        (victim,) = self.target.processes
        is_same = running is not None and running.supervisor_pid == victim.pid and not self._is_spared
        if running is None or is_same or running.state != "ready":
            return Finding("failed", f"the {self.name} is not ready again")
        return Finding("passed", f"the {self.name} is ready again, as process {running.supervisor_pid}")

    def resume(self, target: Target) -> Finding:
        """Whether it still runs; whoever stands here must have the system's place, or nothing can be undone."""
        self.target = target
        self._held = still_held(target.processes)
        self._is_spared = bool(self._held)
        if self._is_spared:
            return Finding("failed", f"{target.named} was not struck: it still runs")
        return Finding("unknown", f"{target.named} ended; whether the drill did it nobody saw")

    def close(self) -> None:
        """Lets go of the process; the fault stays as it is."""
        for one in self._held:
            one.close()
        self._held = []


SUPERVISOR = Kind(
    "supervisor",
    "SIGKILL of the supervisor; from its model's load",
    KillSupervisor,
    figure="answer from load",
    brokers=1,
)
