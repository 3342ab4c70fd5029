"""SIGSTOP of a worker, and SIGCONT when its successor has answered: whoever hung must not answer any more."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time

from bench.failover.strikes.scene import Scene, Struck, struck

_WAKE_S = 10.0
_POLL_S = 0.01


def strike(scene: Scene) -> Struck:
    """Stops it; whether the woken one answered, the count of doubled answers tells."""
    victim = random.choice(scene.workers())
    handle = os.pidfd_open(victim.pid)
    at = time.monotonic()
    os.kill(victim.pid, signal.SIGSTOP)
    found = struck([scene.partitions(victim)], [victim.pid], at)
    threading.Thread(target=_wake, args=(scene, victim.id, victim.pid, handle), daemon=True).start()
    return found


def _wake(scene: Scene, identity: str, pid: int, handle: int) -> None:
    """As soon as another process serves under the identity."""
    until = time.monotonic() + _WAKE_S
    while time.monotonic() < until and not any(one.id == identity and one.pid != pid for one in scene.workers()):
        time.sleep(_POLL_S)
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGCONT)
    os.close(handle)
