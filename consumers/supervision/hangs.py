"""Kills what hangs: a process whose tick is late, or a batch that takes for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from consumers.supervision.member import Member
from standfast.settings import WorkerSettings

_log = structlog.get_logger()
_WATCH_S = 0.1
# A stopped process (state T) will not come back by itself; one that only ticks late may be short of processor time, and
# has so many times as long: 5 s by default.
_PATIENCE_WITH_RUNNING = 12.5


class HangWatch:
    """Looks at every process ten times a second, on the supervisor's asyncio loop."""

    def __init__(self, members: Callable[[], Sequence[Member]], limits: WorkerSettings) -> None:
        self._members = members
        self._limits = limits
        self._looked_at = 0.0
        self._stopped = False

    def start(self) -> None:
        """Starts looking."""
        self._looked_at = time.monotonic()
        asyncio.get_running_loop().call_later(_WATCH_S, self._look)

    def stop(self) -> None:
        """Ends with the next look."""
        self._stopped = True

    def _look(self) -> None:
        now = time.monotonic()
        own_delay, self._looked_at = now - self._looked_at - _WATCH_S, now
        if own_delay < _WATCH_S:  # else it is this process that was late
            for member in self._members():
                reason = _hangs(member, self._limits)
                if reason is not None:
                    _log.warning("worker hangs and is killed", worker=member.name, pid=member.pid, reason=reason)
                    member.kill()
        if not self._stopped:
            asyncio.get_running_loop().call_later(_WATCH_S, self._look)


def _hangs(member: Member, limits: WorkerSettings) -> str | None:
    if member.state == "starting" and member.identity is None:
        return None
    seen = member.ledger.read()
    late = seen.tick_age * 1000 > limits.hang_after_ms
    if late and (member.is_stopped() or seen.tick_age * 1000 > limits.hang_after_ms * _PATIENCE_WITH_RUNNING):
        return f"no tick for {seen.tick_age:.1f} s"
    if seen.computing_for is not None and seen.computing_for > limits.stuck_after_s:
        return f"a batch has been computed for {seen.computing_for:.0f} s"
    return None
