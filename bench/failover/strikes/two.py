"""SIGKILL of two workers at the same moment: there may be one standby for both."""

from __future__ import annotations

import os
import random
import signal
import time

from bench.failover.strikes.scene import Scene, Struck, struck
from standfast.errors import UsageError


def strike(scene: Scene) -> Struck:
    """Kills both; raises UsageError where there are no two."""
    workers = scene.workers()
    if len(workers) < 2:
        raise UsageError(f"{scene.service.name} has {len(workers)} worker with partitions; two are to be killed")
    victims = random.sample(workers, 2)
    at = time.monotonic()
    for one in victims:
        os.kill(one.pid, signal.SIGKILL)
    return struck(map(scene.partitions, victims), [one.pid for one in victims], at)
