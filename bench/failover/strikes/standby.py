"""SIGKILL of a worker, and of the standby while that takes over."""

from __future__ import annotations

import os
import random
import signal
import time

from bench.failover.strikes.scene import Scene, Struck, struck
from standfast.errors import UsageError

_TAKEOVER_S = 0.04  # about as long as one takes: the second kill may come at any moment of it


def strike(scene: Scene) -> Struck:
    """Kills all standbys that may be the heir, too; raises UsageError where there is none."""
    heirs = scene.standbys()
    if not heirs:
        raise UsageError(f"{scene.service.name} has no warm standby to kill; set {scene.service.name}.standbys = 1")
    victim = random.choice(scene.workers())
    at = time.monotonic()
    os.kill(victim.pid, signal.SIGKILL)
    time.sleep(_TAKEOVER_S * random.random())
    for one in heirs:
        os.kill(one.pid, signal.SIGKILL)
    return struck([scene.partitions(victim)], [victim.pid, *(one.pid for one in heirs)], at)
