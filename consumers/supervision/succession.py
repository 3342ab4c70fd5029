"""Hands the identities of ended workers to standbys.

When a worker ends, its identity (`search-0`, a static member of the consumer group) is given to a warm standby, which
joins under it without a rebalance: the other workers' partitions do not pause.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

import structlog

from consumers.channel.messages import Activate, Suspected
from consumers.supervision.identities import WorkerIdentities
from consumers.supervision.member import Member
from consumers.supervision.members import Members
from consumers.supervision.orphans import Orphans
from standfast.core import telemetry
from standfast.core.status import TakeoverStatus

_log = structlog.get_logger()
_KEPT = 10  # takeovers in the status, which is written once a second


class Succession:
    """The succession in one service, on the running asyncio loop.

    Args:
        service: its name, for the metrics.
        suspected: makes the message that tells a worker which records may kill it.
    """

    def __init__(
        self,
        service: str,
        members: Members,
        identities: WorkerIdentities,
        orphans: Orphans,
        suspected: Callable[[], Suspected],
    ) -> None:
        self._service = service
        self._members = members
        self._identities = identities
        self._orphans = orphans
        self._suspected = suspected
        self._stopped = False
        self.takeovers: deque[TakeoverStatus] = deque(maxlen=_KEPT)

    def stop(self) -> None:
        """From now on no standby takes over."""
        self._stopped = True

    def vacate(self, identity: str, lived_s: float) -> None:
        """Gives the identity of a worker that has ended, or is about to, to a warm standby.

        Args:
            lived_s: the seconds for which the worker had it; inf if it stopped in order.
        """
        self._orphans.look_later()
        delay = self._identities.vacate(identity, lived_s)
        if delay:
            _log.error("worker keeps dying; its next start waits", worker=identity, wait_s=delay)
            asyncio.get_running_loop().call_later(delay, self.occupy)
        self.occupy()

    def occupy(self) -> None:
        """Hands vacant identities to warm standbys."""
        if self._stopped:
            return
        for identity in self._identities.takeable():
            member = self._members.successor(identity)
            if member is not None and member.send(self._suspected()) and member.send(Activate(identity)):
                member.take_over(identity, self._identities.occupy(identity))

    def serves(self, member: Member, partitions: dict[str, list[int]]) -> None:
        """A worker serves these partitions; logs, counts and keeps how long a dead worker's identity was vacant."""
        vacant_s = member.serve(partitions)
        if vacant_s is not None and self._identities.restarts(member.identity):
            telemetry.FAILOVER.labels(self._service).observe(vacant_s)
            after_ms = round(vacant_s * 1000, 1)
            _log.info("identity taken over", worker=member.identity, pid=member.pid, after_ms=after_ms)
            self.takeovers.append(
                TakeoverStatus(
                    at=time.time_ns() // 1_000_000,
                    service=self._service,
                    worker=member.name,
                    standby=member.slot,
                    pid=member.pid,
                    after_ms=after_ms,
                    partitions=partitions,
                )
            )
