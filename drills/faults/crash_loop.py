"""SIGKILL of a worker, and of each process that takes over its identity, several times in a row."""

from __future__ import annotations

import contextlib
import threading
import time
from signal import SIGKILL

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Kind, Process, Target
from drills.faults.process_handle import ProcessHandle
from drills.faults.running_system import RunningSystem
from drills.faults.workers import TARGETS, WorkerFault
from drills.params import Param
from standfast.core.errors import ClusterError, DrillRejected

_LOOK_S = 0.02
_ENDS_WITHIN_S = 2.0  # for the thread that kills
_REPORTED_FROM = (
    5  # deaths within a minute: from then on `consumers.supervision.identities` waits before the next start
)


class CrashLoop(WorkerFault):
    """Each start of the worker ends at once. The kills end with this process, so a dead runner leaves none behind."""

    name = "crash-loop"
    done = "was killed"

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        super().__init__(system, aim)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._killed: list[int] = []  # pids
        self._reported = ""  # by the status: that the worker keeps ending

    def inject(self) -> Fault:
        """Kills the worker; from then on a thread kills its successors."""
        fault = super().inject()
        self._killed.append(self.target.processes[0].pid)
        deadline = time.monotonic() + float(self.aim.params["at_most_s"])
        self._thread = threading.Thread(target=self._kill_successors, args=(deadline,), name=self.name, daemon=True)
        self._thread.start()
        return fault

    def injected(self, within_s: float) -> Finding:
        """Whether the first successor was killed too: one kill is no loop."""
        deadline = time.monotonic() + within_s
        while len(self._killed) < 2 and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
        if len(self._killed) < 2:
            return Finding("failed", f"{self.target.named} was killed, and no successor within {within_s:g} s")
        return Finding("passed", f"{self.target.named} was killed, and its successor at its start")

    def lasted(self) -> bool:
        """Whether it was killed `times` times, or `at_most_s` is over."""
        return self._thread is None or not self._thread.is_alive()

    def undo(self) -> None:
        """Ends the kills."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(_ENDS_WITHIN_S)

    def undone(self) -> Finding:
        """Whether nobody kills any more, and the worker is active; `failed` if the status never spoke of the loop."""
        if not self.lasted():
            return Finding("failed", f"the successors of {self.target.named} are still being killed")
        finding = super().undone()
        times = f"killed {len(self._killed)} times; " if self._killed else ""
        if len(self._killed) < _REPORTED_FROM:
            return Finding(finding.check, times + finding.text)
        if not self._reported:
            return Finding("failed", f"{times}the status never said that it keeps ending; {finding.text}")
        return Finding(finding.check, f'{times}the status said "{self._reported}"; {finding.text}')

    def may_serve(self, victim: Process, pid: int) -> bool:
        """Whether it is none of the processes that were killed."""
        return pid in self._spared or pid not in {victim.pid, *self._killed}

    def resume(self, target: Target) -> Finding:
        """As for one kill: whoever killed the others has ended."""
        self._over.set()
        return super().resume(target)

    def _kill_successors(self, deadline: float) -> None:
        times = int(self.aim.params["times"])
        while not self._over.is_set() and time.monotonic() < deadline and not self._is_done(times):
            with contextlib.suppress(ClusterError, DrillRejected):  # DrillRejected: it has ended by itself
                self._look(times)
            self._over.wait(_LOOK_S)

    def _is_done(self, times: int) -> bool:
        """Whether the last kill was made, and its consequence was seen."""
        return len(self._killed) >= times and (bool(self._reported) or times < _REPORTED_FROM)

    def _look(self, times: int) -> None:
        """Kills the process that has the identity now, and notes what the status says of it."""
        identity = self.target.processes[0].id
        if (pid := self._successor(identity)) and len(self._killed) < times:
            with contextlib.closing(ProcessHandle(identity, pid)) as successor:
                if self._successor(identity) == pid:  # so the handle is of the system's process, and of no later one
                    successor.signal(SIGKILL)
                    self._killed.append(pid)

    def _successor(self, identity: str) -> int:
        status = self.system.status()
        if status.state == "degraded" and identity in status.detail:
            self._reported = status.detail
        rows = [row for row in status.workers if row.id == identity and row.role == "active"]
        return next((row.pid for row in rows if row.pid and row.pid not in self._killed), 0)


CRASH_LOOP = Kind(
    "crash-loop",
    "SIGKILL of a worker at each start",
    CrashLoop,
    targets=TARGETS,
    undo="nobody kills it any more, and the supervisor starts it again after its back-off",
    params=(
        Param("times", 6, "how often; from the fifth time on the supervisor waits before it starts the next", 2, 50),
        Param("at_most_s", 45.0, "it is killed no more after so long", 1, 300),
    ),
)
