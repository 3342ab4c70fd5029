"""SIGKILL of one of two supervisors that serve the same topics, each with its own processes: a host is gone."""

from __future__ import annotations

import time

from drills.drill import Param
from drills.evidence.history import Fault
from drills.faults.injector import Kind, Target
from drills.faults.process_handle import ProcessHandle
from drills.faults.supervisor import KillSupervisor
from standfast.core.errors import ClusterError, DrillRejected

_ENDS_S = 10.0


class KillHost(KillSupervisor):
    """Kills the supervisor alone, with which everything it started ends; it is away for `down_s`."""

    name = "host"
    needs = "a host is only killed where the benchmark started two of them itself"

    def doomed(self) -> frozenset[int]:
        """Of the two only the host's own processes."""
        return self.place.pids()

    def inject(self) -> Fault:
        """Returns when all its processes are gone: until it was gone itself a worker may have answered."""
        everything = _held(self.target)
        try:
            at, until = self.place.kill(), time.monotonic() + _ENDS_S
            if not all(one.dead_within(max(0.0, until - time.monotonic())) for one in everything):
                raise ClusterError(f"processes of the killed host still run after {_ENDS_S:.0f} s; see `ps`")
        finally:
            for one in everything:
                one.close()
        self._away_until = time.monotonic() + float(self.aim.params["down_s"])
        return self.target.struck(self.name, at)

    def lasted(self) -> bool:
        """A host that boots is not back while the others still take over from it."""
        return time.monotonic() >= self._away_until


def _held(target: Target) -> list[ProcessHandle]:
    held = []
    for pid in target.gone:
        try:
            held.append(ProcessHandle(f"process {pid} of the host", pid))
        except DrillRejected:  # it ended since: it is gone, as it is to be
            continue
    return held


HOST = Kind(
    "host",
    "SIGKILL of the supervisor of one of two hosts",
    KillHost,
    params=(Param("down_s", 5.0, "how long it is away", 0, 300),),
    brokers=1,
    hosts=2,
)
