"""SIGKILL of the supervisor, with which everything it started ends, and a start at once."""

from __future__ import annotations

from dataclasses import replace

from bench.failover.strikes.scene import Scene, Struck, pids, struck
from standfast.errors import UsageError


def strike(scene: Scene) -> Struck:
    """Blocks until the model is loaded again: its figure runs from then."""
    if scene.place is None:
        raise UsageError("a supervisor is only killed on a system that the benchmark started itself")
    everybody = [scene.partitions(one) for one in scene.workers()]
    everything = pids(scene.status())
    at = scene.place.kill()
    found = struck(everybody, everything, at)
    scene.place.start()
    return replace(found, since=scene.place.model_loaded())
