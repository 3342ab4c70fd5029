"""The number of processes of one service: a worker for each identity that is wanted, and the standbys.

The number of workers may change at any time. A new identity goes to a warm standby at once; a surplus worker leaves the
group, and its partitions go to the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from consumers.channel.messages import Leave
from consumers.service import Service
from consumers.supervision.identities import WorkerIdentities
from consumers.supervision.member import Member
from consumers.supervision.members import Members
from consumers.supervision.nurseries import Nurseries
from standfast.core.backoff import Backoff

_log = structlog.get_logger()
_AFTER_TAKEOVER_S = 0.25  # after a death the next process is forked this late: the takeover needs the processor
# librdkafka rejoins a group at most once a second: if two workers left sooner after each other, the partitions of the
# second would wait for that second.
BETWEEN_LEAVES_S = 1.1


class Sizing:
    """Adds and removes the processes of one service, on the running asyncio loop.

    Args:
        start_backoff: how long to wait after a process that died while it started.
        is_being_fenced: whether a slot must not be used again yet, because its dead process is still being fenced.
        drains_within_s: how long a worker may take to finish its batch and end, before it is killed.
    """

    def __init__(
        self,
        service: Service,
        members: Members,
        identities: WorkerIdentities,
        nurseries: Nurseries,
        start_backoff: Backoff,
        is_being_fenced: Callable[[str], bool],
        drains_within_s: float,
    ) -> None:
        self.service = service
        self.partitions = 0
        self._members = members
        self._identities = identities
        self._nurseries = nurseries
        self._start_backoff = start_backoff
        self._is_being_fenced = is_being_fenced
        self._drains_within_s = drains_within_s
        self._next_leave = 0.0
        self._stopped = False

    def stop(self) -> None:
        """From now on no process is forked, and no worker is told to leave."""
        self._stopped = True

    def want(self, workers: int) -> None:
        """Sets the number of workers that is wanted; call `fill` and `shrink` afterwards."""
        self.service = replace(self.service, workers=workers)
        for identity in self.service.worker_ids:
            if identity not in self._identities:
                self._identities.add(identity)

    def shrink(self) -> None:
        """Tells one surplus worker to leave, the one that took over last; none while partitions are moving."""
        surplus = set(self._identities) - set(self.service.worker_ids)
        for identity in filter(self._identities.backs_off, list(surplus)):
            self._identities.remove(identity)  # it has no process to leave the group: its session times out
            surplus.remove(identity)
        members = self._members.identified
        moving = self._identities.takeable() or any(member.state != "serving" for member in members)
        if surplus and not (moving or self._nurseries.retiring or self._stopped or time.monotonic() < self._next_leave):
            youngest = max(
                (member for member in members if member.identity in surplus), key=lambda member: member.took_over_at
            )
            youngest.drain(self._drains_within_s)
            youngest.send(Leave())

    def has_left(self, identity: str) -> bool:
        """A worker has left the group; returns whether its identity is wanted again by now, and therefore vacant."""
        _log.info("worker has left", worker=identity)
        self._identities.remove(identity)
        self._next_leave = time.monotonic() + BETWEEN_LEAVES_S
        wanted = identity in self.service.worker_ids
        if wanted:
            self._identities.add(identity)
        return wanted

    def fill(self, delay: float = 0.0) -> None:
        """Forks the processes that are missing, workers and standbys, after `delay` seconds."""
        if delay:
            asyncio.get_running_loop().call_later(delay, self.fill)
            return
        nursery = self._nurseries.present
        if self._stopped or nursery is None or not self.partitions:
            return
        wanted = max(self.service.workers, len(self._identities)) + self.service.standbys
        while len(nursery.members) < wanted:
            slot = self._free_slot()
            try:
                self._members.add(nursery.fork(slot, self.service.workers))
            except OSError as error:
                delay = self._start_backoff.after_death()
                _log.error("no process can be made", slot=slot, error=str(error), again_in_s=delay)
                asyncio.get_running_loop().call_later(delay, self.fill)
                return

    def fill_after(self, dead: Member) -> None:
        """The same after a death. If a standby takes over, the fork waits 0.25 s: the takeover needs the processor."""
        if dead.identity is None and dead.state != "draining":
            delay = self._start_backoff.after_death() if dead.state == "starting" else 0.0
        else:
            delay = 0.0 if self._identities.takeable() else _AFTER_TAKEOVER_S
        self.fill(delay)

    def _free_slot(self) -> str:
        number = 0
        while (slot := self.service.slot(number)) in self._members or self._is_being_fenced(slot):
            number += 1
        return slot
