"""How many processes one service has: a worker for each identity that is wanted, and its standbys.

The number of workers may change at any time: a new identity goes to a warm standby at once; a worker that is one too
many leaves the group, and its partitions go to the others.
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
_AFTER_TAKEOVER_S = 0.25
# librdkafka joins a group once a second at most: a second worker that left sooner would leave its partitions waiting.
BETWEEN_LEAVES_S = 1.1


class Sizing:
    """One service's, on the running asyncio loop.

    Args:
        births: how long what dies while it starts is waited for.
        is_being_fenced: whether a dead process's slot must not be used again yet.
        drains_within_s: how long a worker may take to finish what it has.
    """

    def __init__(
        self,
        service: Service,
        members: Members,
        identities: WorkerIdentities,
        nurseries: Nurseries,
        births: Backoff,
        is_being_fenced: Callable[[str], bool],
        drains_within_s: float,
    ) -> None:
        self.service = service
        self.partitions = 0
        self._members = members
        self._identities = identities
        self._nurseries = nurseries
        self._births = births
        self._is_being_fenced = is_being_fenced
        self._drains_within_s = drains_within_s
        self._next_leave = 0.0
        self._stopped = False

    def stop(self) -> None:
        """Nobody is forked any more, and nobody has to leave."""
        self._stopped = True

    def want(self, workers: int) -> None:
        """This many workers are wanted from now on; `fill` and `shrink` make it so."""
        self.service = replace(self.service, workers=workers)
        for identity in self.service.worker_ids:
            if identity not in self._identities:
                self._identities.add(identity)

    def shrink(self) -> None:
        """Has one worker leave that is one too many, if nobody's partitions are on their way; the youngest first."""
        surplus = set(self._identities) - set(self.service.worker_ids)
        for identity in filter(self._identities.backs_off, list(surplus)):
            self._identities.remove(identity)  # nobody is there to leave: Kafka ends the session
            surplus.remove(identity)
        members = self._members.identified
        between = self._identities.takeable() or any(member.state != "serving" for member in members)
        if surplus and not (
            between or self._nurseries.retiring or self._stopped or time.monotonic() < self._next_leave
        ):
            last = max((member for member in members if member.identity in surplus), key=lambda one: one.took_over_at)
            last.drain(self._drains_within_s)
            last.send(Leave())

    def has_left(self, identity: str) -> bool:
        """A worker has left the group; whether its identity was wanted again by then, and is vacant."""
        _log.info("worker has left", worker=identity)
        self._identities.remove(identity)
        self._next_leave = time.monotonic() + BETWEEN_LEAVES_S
        wanted = identity in self.service.worker_ids
        if wanted:
            self._identities.add(identity)
        return wanted

    def fill(self, delay: float = 0.0) -> None:
        """Forks what is missing to have every worker and every standby, after so many seconds."""
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
                delay = self._births.after_death()
                _log.error("no process can be made", slot=slot, error=str(error), again_in_s=delay)
                asyncio.get_running_loop().call_later(delay, self.fill)
                return

    def fill_after(self, dead: Member) -> None:
        """The same for a process that died: where a standby takes over, the processor is the standby's at first."""
        if dead.identity is None and dead.state != "draining":
            delay = self._births.after_death() if dead.state == "starting" else 0.0
        else:
            delay = 0.0 if self._identities.takeable() else _AFTER_TAKEOVER_S
        self.fill(delay)

    def _free_slot(self) -> str:
        number = 0
        while (slot := self.service.slot(number)) in self._members or self._is_being_fenced(slot):
            number += 1
        return slot
