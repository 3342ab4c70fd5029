"""SIGKILL of one worker chosen by chance."""

from __future__ import annotations

import os
import random
import signal
import time

from bench.failover.strikes.scene import Scene, Struck, struck


def strike(scene: Scene) -> Struck:
    """Kills it."""
    victim = random.choice(scene.workers())
    at = time.monotonic()
    os.kill(victim.pid, signal.SIGKILL)
    return struck([scene.partitions(victim)], [victim.pid], at)
