"""Kills what hangs: a process whose tick is late, a batch, a start or an end that takes for ever. Nurseries too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from consumers.supervision.member import Member
from consumers.supervision.nursery_handle import NurseryHandle
from standfast.core.settings import WorkerSettings

_log = structlog.get_logger()
_WATCH_S = 0.1
# A stopped process (state T) will not come back by itself; one that only ticks late may be short of processor time, and
# has so many times as long: 5 s by default.
_PATIENCE_WITH_RUNNING = 12.5
_START_S = 600.0  # a model is loaded from a slow disk, or on to a device
_NURSERY_SILENT_S = 30.0
_NURSERY_BEATS_MS = 500.0


class HangWatch:
    """Looks at every process ten times a second, on the supervisor's asyncio loop."""

    def __init__(
        self,
        members: Callable[[], Sequence[Member]],
        nurseries: Callable[[], Sequence[NurseryHandle]],
        give_up: Callable[[NurseryHandle], None],
        limits: WorkerSettings,
    ) -> None:
        self._members = members
        self._nurseries = nurseries
        self._give_up = give_up
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
            for nursery in self._nurseries():
                reason = nursery_hangs(nursery, self._limits)
                if reason is not None:
                    _log.warning("nursery hangs and is replaced", version=nursery.version, reason=reason)
                    self._give_up(nursery)
        if not self._stopped:
            asyncio.get_running_loop().call_later(_WATCH_S, self._look)


def nursery_hangs(nursery: NurseryHandle, limits: WorkerSettings) -> str | None:
    """Why it is given up, None if it is not. While it loads its model it says nothing, but is not stopped."""
    silent = nursery.silent_s
    longest = _NURSERY_SILENT_S if nursery.model else _START_S
    if silent > longest or (nursery.is_stopped and silent * 1000 > limits.hang_after_ms + _NURSERY_BEATS_MS):
        return f"no word for {silent:.1f} s"
    return None


def _hangs(member: Member, limits: WorkerSettings) -> str | None:
    now = time.monotonic()
    if now > member.to_end_by:
        return f"it was to end {now - member.to_end_by:.0f} s ago"
    seen = member.heartbeat.read()
    late = seen.tick_age * 1000 > limits.hang_after_ms
    if member.state == "starting" and member.identity is None:
        if late and member.is_stopped():
            return f"stopped for {seen.tick_age:.1f} s"
        return "its start takes too long" if now - member.made_at > _START_S else None
    if late and (member.is_stopped() or seen.tick_age * 1000 > limits.hang_after_ms * _PATIENCE_WITH_RUNNING):
        return f"no tick for {seen.tick_age:.1f} s"
    if seen.computing_for is not None and seen.computing_for > limits.stuck_after_s:
        return f"a batch has been computed for {seen.computing_for:.0f} s"
    return None
