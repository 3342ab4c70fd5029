"""Kills processes that hang: a tick is late, or a batch, a start or an end takes too long, or the loop makes no step.

Gives up nurseries that hang.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from consumers.channel.messages import BEAT_S
from consumers.supervision.member import Member
from consumers.supervision.nursery_handle import NurseryHandle
from standfast.core.settings import WorkerSettings

_log = structlog.get_logger()
_WATCH_S = 0.1
# A stopped process (state T) does not continue by itself; a running one may tick late for want of processor time, and
# is killed after this many times `hang_after_ms`: 5 s by default.
_RUNNING_FACTOR = 12.5
_START_S = 600.0  # leaves time to load a model from a slow disk, or on to a device
_NURSERY_SILENT_S = 30.0  # without a message from a nursery that is not stopped and has loaded its model


class HangWatch:
    """Checks every process ten times a second, on the supervisor's asyncio loop.

    Args:
        give_up: called with a nursery that hangs.
    """

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
        """Starts the checks."""
        self._looked_at = time.monotonic()
        asyncio.get_running_loop().call_later(_WATCH_S, self._look)

    def stop(self) -> None:
        """Ends the checks, after the next one at the latest."""
        self._stopped = True

    def _look(self) -> None:
        now = time.monotonic()
        delay, self._looked_at = now - self._looked_at - _WATCH_S, now
        if delay < _WATCH_S:  # otherwise the supervisor itself was late, and would take the others' ticks for late
            for member in self._members():
                reason = _hangs(member, self._limits)
                if reason is not None:
                    _log.warning("worker hangs and is killed", worker=member.name, pid=member.pid, reason=reason)
                    member.hung = True
                    member.kill()
            for nursery in self._nurseries():
                reason = nursery_hangs(nursery, self._limits)
                if reason is not None:
                    _log.warning("nursery hangs and is replaced", version=str(nursery.versions), reason=reason)
                    self._give_up(nursery)
        if not self._stopped:
            asyncio.get_running_loop().call_later(_WATCH_S, self._look)


def nursery_hangs(nursery: NurseryHandle, limits: WorkerSettings) -> str | None:
    """Why the nursery is given up; None if it does not hang. It sends nothing while it loads its model."""
    silent = nursery.silent_s
    longest = _NURSERY_SILENT_S if nursery.model else _START_S
    if silent > longest or (nursery.is_stopped and silent * 1000 > limits.hang_after_ms + BEAT_S * 1000):
        return f"no word for {silent:.1f} s"
    return None


def _hangs(member: Member, limits: WorkerSettings) -> str | None:
    now = time.monotonic()
    if now > member.to_end_by:
        return f"it was to end {now - member.to_end_by:.0f} s ago"
    heartbeat = member.heartbeat.read()
    late = heartbeat.tick_age * 1000 > limits.hang_after_ms
    if member.state == "starting" and member.identity is None:
        if late and member.is_stopped():
            return f"stopped for {heartbeat.tick_age:.1f} s"
        return "its start takes too long" if now - member.made_at > _START_S else None
    if late and (member.is_stopped() or heartbeat.tick_age * 1000 > limits.hang_after_ms * _RUNNING_FACTOR):
        return f"no tick for {heartbeat.tick_age:.1f} s"
    return _is_stuck(member, heartbeat.computing_for, limits.stuck_after_s)


def _is_stuck(member: Member, computing_s: float | None, limit_s: float) -> str | None:
    """Why the thread that polls and computes makes no step, while the process ticks; None if it does."""
    if computing_s is not None:
        return f"a batch has been computed for {computing_s:.0f} s" if computing_s > limit_s else None
    since_step = member.steps.age_s
    if member.state == "serving" and since_step is not None and since_step > limit_s:
        return f"its loop has made no step for {since_step:.0f} s"
    return None
