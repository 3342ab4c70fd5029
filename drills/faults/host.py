"""SIGKILL of a supervisor and of all that it started: the loss of a host, which is back after a while."""

from __future__ import annotations

import time

from drills.evidence.history import Fault
from drills.faults.injector import Kind, Target
from drills.faults.process_handle import ProcessHandle
from drills.faults.supervisor import KillSupervisor
from drills.params import Param
from standfast.core.errors import ClusterError, DrillRejected

_ENDS_S = 10.0  # for everything that the supervisor started to end


class KillHost(KillSupervisor):
    """Kills only the supervisor, whose death ends everything it started; starts it again after `down_s`."""

    name = "host"

    def doomed(self) -> frozenset[int]:
        """The pids of this one of the two hosts."""
        return self.control.pids()

    def inject(self) -> Fault:
        """Kills the supervisor; returns once all processes of the host have ended: a worker may answer until then."""
        processes = _handles(self.target)
        try:
            at, deadline = self.control.kill(), time.monotonic() + _ENDS_S
            if not all(process.dead_within(max(0.0, deadline - time.monotonic())) for process in processes):
                raise ClusterError(f"processes of the killed host still run after {_ENDS_S:.0f} s; see `ps`")
        finally:
            for process in processes:
                process.close()
        self._away_until = time.monotonic() + float(self.aim.params["down_s"])
        return self.target.struck(self.name, at)

    def lasted(self) -> bool:
        """Whether `down_s` is over: a host that boots is not back before the other has taken over."""
        return time.monotonic() >= self._away_until


def _handles(target: Target) -> list[ProcessHandle]:
    handles = []
    for pid in target.gone:
        try:
            handles.append(ProcessHandle(f"process {pid} of the host", pid))
        except DrillRejected:  # it has ended already
            continue
    return handles


HOST = Kind(
    "host",
    "SIGKILL of the supervisor of one of two hosts",
    KillHost,
    undo="a process that waits for that starts the supervisor again after down_s, as a host boots",
    params=(Param("down_s", 5.0, "how long it is away", 0, 300),),
    brokers=1,
    ends_agent=True,
    hosts=2,
)
