"""SIGTERM of one worker after the other, each when the system is whole again: a rolling restart."""

from __future__ import annotations

import os
import signal
import time

from bench.failover.strikes.scene import Scene, Struck, struck


class Rolling:
    """The workers in turn; which one was stopped last is remembered."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, scene: Scene) -> Struck:
        """Asks the next one to stop."""
        workers = scene.workers()
        victim = next((one for one in workers if one.id > self._last), workers[0])
        self._last = victim.id
        at = time.monotonic()
        os.kill(victim.pid, signal.SIGTERM)
        return struck([scene.partitions(victim)], [victim.pid], at)
