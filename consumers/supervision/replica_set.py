"""Who serves one service: its workers, its warm standbys, and who takes over from whom.

When a worker ends, its identity (`search-0`, a static member of the consumer group) is handed to a warm standby, which
joins under it without a rebalance: the other workers' partitions do not pause. At the same moment the dead worker's
transactional id is fenced, which ends its open transaction.

Another model version comes the same way: a second nursery loads it (`nurseries` says when), its standbys warm up, and
one old worker after the other finishes its batch and hands its identity on.

The number of workers may change at any time: a new identity goes to a warm standby at once; a worker that is one too
many leaves the group, and its partitions go to the others. Runs on the supervisor's asyncio loop; nothing here blocks.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from consumers.messages import (
    Activate,
    Cleared,
    Done,
    Exited,
    Failed,
    FromWorker,
    Leave,
    Load,
    Ready,
    Serving,
    Stop,
)
from consumers.service import Service
from consumers.supervision.aftermath import Aftermath
from consumers.supervision.hangs import HangWatch
from consumers.supervision.identities import Identities
from consumers.supervision.member import Member
from consumers.supervision.members import Members
from consumers.supervision.neighbours import Neighbours
from consumers.supervision.nurseries import Nurseries
from consumers.supervision.nursery_handle import NurseryHandle
from consumers.supervision.orphans import Orphans
from consumers.supervision.rows import rows
from standfast.core import telemetry
from standfast.core.backoff import Backoff
from standfast.core.settings import Settings
from standfast.core.status import WorkerStatus

_log = structlog.get_logger()
_AFTER_TAKEOVER_S = 0.25
# librdkafka joins a group once a second at most: a second worker that left sooner would leave its partitions waiting.
_BETWEEN_LEAVES_S = 1.1
# A worker keeps to `stop_within_s` by itself, for what it owes and for leaving; after this it is killed.
_DRAINS_FOR = 4.0
_STOP = Stop()


class ReplicaSet:
    """The workers and standbys of one service.

    Args:
        changed: called whenever the status may have changed.
        environment: makes child processes load the same settings.
    """

    def __init__(
        self,
        service: Service,
        settings: Settings,
        changed: Callable[[], None],
        environment: dict[str, str],
    ) -> None:
        self.service = service
        self.partitions = 0
        self._settings = settings
        self._changed = changed
        self.members = Members()
        self._identities = Identities(service.worker_ids)
        self._births = Backoff(deaths=1, within_s=60.0)
        self._nurseries = Nurseries(
            service.name, lambda version: NurseryHandle(service, version, environment, self), self._births
        )
        self._aftermath = Aftermath(service, settings)
        self._orphans = Orphans(service, settings)
        self._hangs = HangWatch(
            lambda: list(self.members),
            lambda: [one for one in (self._nurseries.present, self._nurseries.next) if one is not None],
            self.nursery_hangs,
            settings.workers,
        )
        self._neighbours: Neighbours | None = None
        self._drains_within_s = _DRAINS_FOR * settings.workers.stop_within_s
        self._next_leave = 0.0
        self._stopping = False
        self.failure: str | None = None
        self.not_followed: str | None = None

    def start(self, version: int | None) -> None:
        """Has this version's nursery load the model; `serve` is to follow. From the main thread only."""
        self._hangs.start()
        self.follow(version)

    def serve(self, partitions: int) -> None:
        """Lets workers be forked: Kafka is there, and the request topic has this many partitions."""
        self.partitions = partitions
        if self.service.host:
            self._neighbours = Neighbours(self.service, self._settings)
            self._neighbours.start()
        self._aftermath.watch_topics(self._warn)
        self._fill()

    @property
    def model(self) -> str:
        """The label of the model that new workers have; empty before it is loaded."""
        return self._nurseries.present.model if self._nurseries.present else ""

    def follow(self, version: int | None) -> None:
        """This version is the active one; the old one serves until it is warm, or if it fails. From the main thread."""
        if not self._stopping and self._nurseries.want(version):
            self.failure = None
            self._fill()
            self._go_on()

    @property
    def is_renewing(self) -> bool:
        """Whether a new model is on its way."""
        return self._nurseries.next is not None or bool(self._nurseries.retiring)

    @property
    def serving(self) -> int:
        """How many workers serve."""
        return len(self.members.serving)

    @property
    def settled(self) -> bool:
        """As many workers as are wanted serve, and every partition is served (by other hosts too)."""
        workers = self.service.workers
        shared = self.service.host or self.members.share(self.service.requests, self.partitions, workers)
        return self.serving == workers == len(self._identities) and bool(shared)

    @property
    def complete(self) -> bool:
        """Settled, and every standby is warm."""
        return self.settled and len(self.members.warm) >= self.service.standbys

    def status(self) -> list[WorkerStatus]:
        """Every process, workers first."""
        return rows(self.service, list(self.members), self._identities)

    async def stop(self, within_s: float) -> None:
        """Lets every worker finish its batch, then ends what is left after `within_s` seconds."""
        self._stopping = True
        self._hangs.stop()
        for member in self.members:
            member.send(Stop())
        deadline = time.monotonic() + within_s
        while self.members and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for member in self.members:
            _log.warning("worker did not stop in time and is killed", worker=member.name, pid=member.pid)
            member.kill()
        self._nurseries.stop()
        self._aftermath.close()
        if self._neighbours is not None:
            self._neighbours.stop()

    # What the nursery reports

    def loaded(self, nursery: NurseryHandle, model: str) -> None:
        """A nursery is ready to fork; a new version's takes over from the present one."""
        if self.model:
            _log.info("new model is loaded", service=self.service.name, model=model)
        self._nurseries.loaded(nursery)
        self._fill()
        self._go_on()
        self._changed()

    def nursery_failed(self, nursery: NurseryHandle, reason: str) -> None:
        """A nursery could not load its model, or died, and its processes with it."""
        if self._stopping:
            return
        delay = self._nurseries.failed(nursery)
        if delay:
            self.failure = reason
            told = {"service": self.service.name, "version": nursery.version, "reason": reason, "again_in_s": delay}
            _log.error("new model refused, the old one goes on" if self.model else "nursery ended", **told)
        self._go_on()
        self._changed()

    def nursery_hangs(self, nursery: NurseryHandle) -> None:
        """A nursery does nothing any more; its workers serve until another one's take over."""
        self._nurseries.give_up(nursery)
        nursery.forget_unborn()
        self._go_on()
        self._changed()

    def exited(self, event: Exited) -> None:
        """How a process ended, for the log and the metrics; what follows from it was done when its channel closed."""
        self._aftermath.record(event, expected=event.status == 0 or self._stopping)

    # What a worker reports

    def said(self, member: Member, message: FromWorker) -> None:
        """A message from a worker or standby."""
        member.hears(message)
        if isinstance(message, Load):
            return
        if isinstance(message, Ready):
            self._became_ready(member)
        elif isinstance(message, Serving):
            self._serves(member, message.partitions)
        elif isinstance(message, Done):
            self._hand_over(member)
        elif isinstance(message, Cleared):
            self._aftermath.clear(message.records)
            self._warn()
        elif isinstance(message, Failed):
            _log.error("worker failed", worker=member.name, reason=message.reason)
            self.failure = message.reason
        self._changed()

    def gone(self, member: Member) -> None:
        """A process is dead, or about to be: its channel is closed. Its successor comes first, then the bookkeeping."""
        member.kill()
        self.members.remove(member)
        if not self._stopping:
            self._aftermath.fence(member)
            blamed = self._aftermath.blame(member)
            if member.identity is not None and member.left:
                self._has_left(member.identity)
            elif member.identity is not None:
                self._vacate(member.identity, time.monotonic() - member.took_over_at)
            self._fill(self._delay_of_next(member))
            self._go_on()
            if blamed:
                self._aftermath.say(member.name, blamed)
                self._warn()
        self._changed()

    def _warn(self) -> None:
        """Tells every worker which records may kill it; a standby is told when it takes over."""
        self.members.tell_workers(self._aftermath.suspected())

    def _hand_over(self, member: Member) -> None:
        """Its identity goes to a successor before the process is gone."""
        if not self._stopping and (identity := member.hand_over(self._drains_within_s)) is not None:
            self._vacate(identity, math.inf)

    def _became_ready(self, member: Member) -> None:
        self.failure = None
        self._births.forget()
        self._aftermath.prepare(member)
        self._occupy()
        self._go_on()

    def _serves(self, member: Member, partitions: dict[str, list[int]]) -> None:
        took = member.serve(partitions)
        if took is not None and self._identities.restarts(member.identity):
            telemetry.FAILOVER.labels(self.service.name).observe(took)
            _log.info("identity taken over", worker=member.identity, pid=member.pid, after_ms=round(took * 1000, 1))
        if member.state != "draining":
            self._go_on()

    def _go_on(self) -> None:
        """One step towards the present model everywhere and the number of workers that is wanted."""
        self._roll()
        self._shrink()

    def _roll(self) -> None:
        """One step towards having only workers of the present nursery: never more than one identity changes hands."""
        present = self._nurseries.present
        if not self._nurseries.retiring or present is None or self._stopping:
            return
        old = [member for member in self.members if member not in present.members]
        for member in old:
            if member.identity is None and member.state != "draining":
                self._drain(member)
        between = bool(self._identities.vacant) or any(member.identity and member.state != "serving" for member in old)
        serving = [member for member in old if member.state == "serving"]
        if serving and self.members.warm and not between:
            self._drain(serving[0])
        self._nurseries.end_unused()
        if not self._nurseries.retiring:
            _log.info("all workers have the new model", service=self.service.name, model=self.model)

    def _drain(self, member: Member, how: Stop | Leave = _STOP) -> None:
        member.drain(self._drains_within_s)
        member.send(how)

    # The number of workers

    def scale(self, workers: int) -> None:
        """Has this many workers from now on. Those that stay go on serving what stays theirs."""
        self.service = replace(self.service, workers=workers)
        for identity in self.service.worker_ids:
            if identity not in self._identities:
                self._identities.add(identity)
        self._occupy()
        self._fill()
        self._go_on()
        self._changed()

    def _shrink(self) -> None:
        """Has one worker leave that is one too many, if nobody's partitions are on their way; the youngest first."""
        surplus = set(self._identities) - set(self.service.worker_ids)
        for identity in filter(self._identities.backs_off, list(surplus)):
            self._identities.remove(identity)  # nobody is there to leave: Kafka ends the session
            surplus.remove(identity)
        members = self.members.identified
        between = self._identities.takeable() or any(member.state != "serving" for member in members)
        if surplus and not (
            between or self._nurseries.retiring or self._stopping or time.monotonic() < self._next_leave
        ):
            last = max((one for one in members if one.identity in surplus), key=lambda one: one.took_over_at)
            self._drain(last, Leave())

    def _has_left(self, identity: str) -> None:
        _log.info("worker has left", worker=identity)
        self._identities.remove(identity)
        self._next_leave = time.monotonic() + _BETWEEN_LEAVES_S
        asyncio.get_running_loop().call_later(_BETWEEN_LEAVES_S, self._go_on)
        if identity in self.service.worker_ids:  # it was wanted again by then
            self._identities.add(identity)
            self._occupy()

    # Identities

    def _vacate(self, identity: str, lived_s: float) -> None:
        self._orphans.look_later()
        delay = self._identities.vacate(identity, lived_s)
        if delay:
            _log.error("worker keeps dying; its next start waits", worker=identity, wait_s=delay)
            asyncio.get_running_loop().call_later(delay, self._occupy)
        self._occupy()

    def _occupy(self) -> None:
        """Hands vacant identities to warm standbys."""
        if self._stopping:
            return
        for identity in self._identities.takeable():
            member = self.members.successor(identity)
            if member is not None and member.send(self._aftermath.suspected()) and member.send(Activate(identity)):
                member.take_over(identity, self._identities.occupy(identity))

    # Processes

    def _fill(self, delay: float = 0.0) -> None:
        """Forks what is missing to have every worker and every standby."""
        if delay:
            asyncio.get_running_loop().call_later(delay, self._fill)
            return
        nursery = self._nurseries.present
        if self._stopping or nursery is None or not self.partitions:
            return
        wanted = max(self.service.workers, len(self._identities)) + self.service.standbys
        while len(nursery.members) < wanted:
            slot = self._free_slot()
            try:
                self.members.add(nursery.fork(slot, self.service.workers))
            except OSError as error:
                delay = self._births.after_death()
                _log.error("no process can be made", slot=slot, error=str(error), again_in_s=delay)
                asyncio.get_running_loop().call_later(delay, self._fill)
                return

    def _delay_of_next(self, dead: Member) -> float:
        """How long the fork of a new process waits: where a standby takes over, the processor is the standby's."""
        if dead.identity is None and dead.state != "draining":
            return self._births.after_death() if dead.state == "starting" else 0.0
        return 0.0 if self._identities.takeable() else _AFTER_TAKEOVER_S

    def _free_slot(self) -> str:
        number = 0
        while (slot := self.service.slot(number)) in self.members or self._aftermath.is_being_fenced(slot):
            number += 1
        return slot
