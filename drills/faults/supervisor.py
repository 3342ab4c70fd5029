"""SIGKILL of the supervisor, whose death ends everything it started; it is started again.

Whoever injects this dies with the supervisor if it runs below it. A process of its own, which waits for that death,
starts the supervisor again (`drills.faults.local_system`).
"""

from __future__ import annotations

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Kind, Target
from drills.faults.local_system import LocalSystem
from drills.faults.process_handle import ProcessHandle, still_held
from drills.faults.running_system import RunningSystem, SystemControl, pids
from drills.params import Param
from standfast.core.errors import DrillRejected


class KillSupervisor:
    """Kills the system of the benchmark, if the benchmark has started one, else the running system of this machine."""

    name = "supervisor"

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        self.system = system
        self.aim = aim
        self._held: list[ProcessHandle] = []
        self._started_again = False
        self._is_spared = False
        self.target = Target(self.name, (), ())
        self._local = LocalSystem(float(aim.params["down_s"]))

    @property
    def control(self) -> SystemControl:
        """The control of the system to kill."""
        return self.system.control or self._local

    def doomed(self) -> frozenset[int]:
        """The pids of all processes that end with the supervisor."""
        return pids(self.system.status())

    def choose(self) -> Target:
        """The supervisor's process, with the partitions of all its workers."""
        status = self.control.status()
        if status is None:
            raise DrillRejected("the system that is to be killed does not run")
        if self._held and self._held[0].process.pid != status.supervisor_pid:
            raise DrillRejected("the supervisor was replaced while the steady state was checked; nothing was injected")
        doomed = self.doomed()
        workers = [worker for worker in self.system.workers() if worker.pid in doomed]
        if not workers:
            raise DrillRejected(
                f"the {self.name} that is to be killed serves no partition, so its death would show nothing"
            )
        if not self._held:
            self._held = [ProcessHandle(self.name, status.supervisor_pid)]
        hit = tuple(tuple(sorted(self.system.partitions(worker))) for worker in workers)
        self.target = Target(self.name, (self._held[0].process,), hit, gone=tuple(sorted(doomed)))
        return self.target

    def inject(self) -> Fault:
        """Kills the supervisor only."""
        return self.target.struck(self.name, self.control.kill())

    def injected(self, within_s: float) -> Finding:
        """Whether the supervisor has ended."""
        if all(process.dead_within(within_s) for process in self._held):
            return Finding("passed", f"{self.target.named} was killed, and with it {len(self.target.gone)} processes")
        return Finding("failed", f"{self.target.named} still runs {within_s:g} s after SIGKILL")

    def lasted(self) -> bool:
        """Always True: the undo can begin at once."""
        return True

    def undo(self) -> None:
        """Starts the system again, once."""
        if not self._started_again and self.control.status() is None:
            self.control.start()
            self._started_again = True

    def undone(self) -> Finding:
        """Whether the system is ready under another supervisor."""
        status = self.control.status()
        (victim,) = self.target.processes
        is_same = status is not None and status.supervisor_pid == victim.pid and not self._is_spared
        if status is None or is_same or status.state != "ready":
            return Finding("failed", f"the {self.name} is not ready again")
        self._local.forget()
        return Finding("passed", f"the {self.name} is ready again, as process {status.supervisor_pid}")

    def resume(self, target: Target) -> Finding:
        """`failed` if the supervisor still runs; `passed` if it ended, as the agent had written down that it would."""
        self.target = target
        self._held = still_held(target.processes)
        self._is_spared = bool(self._held)
        for process in target.processes:
            self._local.was(process.pid, process.started)
        if self._is_spared:
            return Finding("failed", f"{target.named} was not struck: it still runs")
        return Finding("passed", f"{target.named} ended, and with it the fault agent that was about to kill it")

    def close(self) -> None:
        """Closes the handle of the process; the fault stays as it is."""
        for process in self._held:
            process.close()
        self._held = []


SUPERVISOR = Kind(
    "supervisor",
    "SIGKILL of the supervisor; from its model's load",
    KillSupervisor,
    undo="a process that waits for that starts the supervisor again, with its command line and environment",
    params=(Param("down_s", 1.0, "how long it is away on a running system; the benchmark starts it at once", 0, 300),),
    figure="answer from load",
    brokers=1,
    ends_agent=True,
)
