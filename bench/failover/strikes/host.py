"""SIGKILL of one of two supervisors that serve the same topics, each with its own processes: a host is gone."""

from __future__ import annotations

import time

from bench import processes
from bench.failover.strikes.scene import Scene, Struck, struck
from standfast.errors import ClusterError, UsageError

_DOWN_S = 5.0  # a host that boots is not back while the others still take over from it
_ENDS_S = 10.0


def strike(scene: Scene) -> Struck:
    """Kills the supervisor alone, with which everything it started ends, and starts it again five seconds later."""
    if scene.place is None:
        raise UsageError("a host is only killed where the benchmark started two of them itself")
    everything = scene.place.pids()
    victims = [scene.partitions(one) for one in scene.workers() if one.pid in everything]
    if not victims:
        raise ClusterError("the host that is to be killed serves no partition, so its death would show nothing")
    at = scene.place.kill()
    if not processes.await_end(everything, _ENDS_S):
        raise ClusterError(f"processes of the killed host still run after {_ENDS_S:.0f} s; see `ps`")
    found = struck(victims, everything, at)  # now: until it was gone itself a worker may have answered
    time.sleep(_DOWN_S)
    scene.place.start()
    return found
