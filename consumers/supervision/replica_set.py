"""The workers and warm standbys of one service, and what the supervisor does at each event of them and their nurseries.

When a worker ends, a warm standby takes over its identity (`succession`). At the same moment the dead worker's
transactional id is fenced, which ends its open transaction (`aftermath`). `rollout` brings another model version,
`sizing` decides how many processes there are. Runs on the supervisor's asyncio loop; nothing here blocks.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

import structlog

from consumers.channel.messages import (
    CanaryReport,
    CheckWeights,
    Cleared,
    Done,
    Failed,
    FromWorker,
    LoadReport,
    Ready,
    Serving,
    StopOrder,
)
from consumers.service import Service
from consumers.supervision.aftermath import Aftermath
from consumers.supervision.canary_watch import CanaryWatch
from consumers.supervision.hangs import HangWatch
from consumers.supervision.identities import WorkerIdentities
from consumers.supervision.member import Member
from consumers.supervision.member_state import Exited
from consumers.supervision.members import Members
from consumers.supervision.neighbours import Neighbours
from consumers.supervision.nurseries import Nurseries
from consumers.supervision.nursery_handle import ForkNursery, NurseryHandle, as_programs
from consumers.supervision.orphans import Orphans
from consumers.supervision.rollout import Rollout
from consumers.supervision.rows import rows
from consumers.supervision.sizing import BETWEEN_LEAVES_S, Sizing
from consumers.supervision.succession import Succession
from models import registry
from models.canary import Canary
from standfast.core import telemetry
from standfast.core.backoff import Backoff
from standfast.core.settings import Settings
from standfast.core.status import ServiceStatus, TakeoverStatus, WorkerStatus

_log = structlog.get_logger()
# A worker keeps to `stop_within_s` by itself, for its last commit and for leaving the group; after this many times as
# long it is killed.
_DRAIN_FACTOR = 4.0


class ReplicaSet:
    """The workers and standbys of one service.

    Args:
        changed: called whenever the status may have changed.
        environment: variables with which child processes load the same settings.
        fork_nursery: see `NurseryHandle`.
    """

    def __init__(
        self,
        service: Service,
        settings: Settings,
        changed: Callable[[], None],
        environment: dict[str, str],
        fork_nursery: ForkNursery = as_programs,
    ) -> None:
        self._settings = settings
        self._changed = changed
        self.members = Members()
        self._identities = WorkerIdentities(service.worker_ids)
        self._start_backoff = Backoff(deaths=1, within_s=60.0)
        self._nurseries = Nurseries(
            service.name,
            lambda versions: NurseryHandle(service, versions, environment, self, fork_nursery),
            self._start_backoff,
            lambda version: registry.served_before(service.name, version),
        )
        self._canary = CanaryWatch(service.name, settings.canary, self.members)
        self._aftermath = Aftermath(service, settings)
        self._succession = Succession(
            service.name, self.members, self._identities, Orphans(service, settings), self._aftermath.suspected
        )
        self._hangs = HangWatch(
            lambda: list(self.members),
            lambda: [nursery for nursery in (self._nurseries.present, self._nurseries.next) if nursery is not None],
            self.nursery_hangs,
            settings.workers,
        )
        self._neighbours: Neighbours | None = None
        self._drains_within_s = _DRAIN_FACTOR * settings.workers.stop_within_s
        self._rollout = Rollout(service.name, self.members, self._identities, self._nurseries, self._drains_within_s)
        self.sizing = Sizing(
            service,
            self.members,
            self._identities,
            self._nurseries,
            self._start_backoff,
            self._aftermath.is_being_fenced,
            self._drains_within_s,
        )
        self._stopping = False
        self.failure: str | None = None
        self.not_followed: str | None = None
        self._refusal = ""

    def start(self, version: int | None, canary: Canary | None = None, ended: str = "") -> None:
        """Has this version's nursery load the model; call `serve` afterwards. From the main thread only."""
        self._hangs.start()
        self.follow(version, canary, ended)

    def serve(self, partitions: int) -> None:
        """Starts the processes: Kafka answers, and the request topic has this many partitions."""
        self.sizing.partitions = partitions
        if self.service.host:
            self._neighbours = Neighbours(self.service, self._settings)
            self._neighbours.start()
        self._aftermath.watch_topics(self.members.tell_workers)
        self.sizing.fill()

    @property
    def service(self) -> Service:
        """The service, with the number of workers that is wanted now."""
        return self.sizing.service

    @property
    def partitions(self) -> int:
        """The number of partitions of the request topic; 0 before `serve`."""
        return self.sizing.partitions

    def follow(self, version: int | None, canary: Canary | None = None, ended: str = "") -> None:
        """Brings the active version to all workers, and its challenger; from the main thread only.

        The old version serves until the new one is warm, and goes on if the new one fails. `ended`: why the last canary
        ended by itself.
        """
        if self._stopping or version is None:
            return
        if self._nurseries.want(self._canary.follow(version, canary, ended)):
            self.failure, self._refusal = None, ""
            self.sizing.fill()
            self._go_on()

    @property
    def is_renewing(self) -> bool:
        """Whether another model version is being brought to the workers."""
        return self._rollout.is_under_way

    @property
    def refused(self) -> str:
        """Why the active version is not what serves, and what is; empty when it is, or is being loaded at first."""
        if not self._refusal:
            return ""
        if self._rollout.model:
            return f"{self._refusal}; {self._rollout.model} serves in its place"
        in_memory = "workers that have it in memory serve on" if self.serving else "nothing serves"
        return f"{self._refusal}; {in_memory}, and it is tried again"

    @property
    def serving(self) -> int:
        """The number of workers that serve."""
        return len(self.members.serving)

    @property
    def settled(self) -> bool:
        """Whether as many workers as are wanted serve, and every partition is served.

        With other hosts, which may serve some of the partitions, only the workers count.
        """
        workers = self.service.workers
        shared = self.service.host or self.members.share(self.service.requests, self.partitions, workers)
        return self.serving == workers == len(self._identities) and bool(shared)

    @property
    def complete(self) -> bool:
        """Whether it is settled, and every standby is warm."""
        return self.settled and len(self.members.warm) >= self.service.standbys

    def status(self) -> list[WorkerStatus]:
        """Every process and every vacant identity, workers first."""
        return rows(self.service, list(self.members), self._identities)

    def told(self, status: ServiceStatus) -> ServiceStatus:
        """The status of the service with what there is to say of its models."""
        return self._canary.told(status)

    @property
    def challenger_refused(self) -> bool:
        """Whether the challenger cannot be loaded, and the champion serves alone."""
        return bool(self._canary.refused)

    def takeovers(self) -> list[TakeoverStatus]:
        """The last takeovers, the oldest first."""
        return list(self._succession.takeovers)

    async def stop(self, within_s: float) -> None:
        """Has every worker finish its batch and end; kills those that are left after `within_s` seconds."""
        self._stopping = True
        self.sizing.stop()
        self._succession.stop()
        self._hangs.stop()
        for member in self.members:
            member.send(StopOrder())
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
        """A nursery is ready to fork; it takes over from the present one."""
        if self._rollout.model:
            _log.info("new model is loaded", service=self.service.name, model=model)
        self._nurseries.loaded(nursery)
        if nursery.versions == self._nurseries.wanted:
            self._refusal = self._canary.refused = ""
        self.sizing.fill()
        self._go_on()
        self._changed()

    def nursery_failed(self, nursery: NurseryHandle, reason: str) -> None:
        """A nursery could not load its model, or died; its processes serve until those of the next one take over."""
        if self._stopping:
            return
        if nursery.damaged:
            telemetry.DAMAGED_WEIGHTS.labels(self.service.name, "nursery").inc()
            self._check_weights()
        if nursery.versions == self._nurseries.wanted:
            self._blame(nursery, reason)
        delay = self._nurseries.failed(nursery)
        if delay:
            self.failure = reason
            version = str(nursery.versions)
            facts = {"service": self.service.name, "version": version, "reason": reason, "again_in_s": delay}
            _log.error("new model refused, the old one goes on" if self._rollout.model else "nursery ended", **facts)
        self._go_on()
        self._changed()

    def _blame(self, nursery: NurseryHandle, reason: str) -> None:
        """Keeps why the wanted version, or its challenger, cannot be loaded; one that died may have lacked memory."""
        died_loading_two = nursery is self._nurseries.next and nursery.versions.challenger is not None
        if nursery.challenger_refused or (died_loading_two and not nursery.refused):
            self._canary.refused = reason
        elif nursery.refused:
            self._refusal = reason

    def nursery_hangs(self, nursery: NurseryHandle) -> None:
        """A nursery hangs; its workers serve until those of the next one take over."""
        self._nurseries.give_up(nursery)
        nursery.forget_pending()
        self._go_on()
        self._changed()

    def exited(self, event: Exited) -> None:
        """Logs and counts how a process ended; its successor was activated when its channel closed."""
        self._aftermath.record(event, expected=event.status == 0 or self._stopping)
        if self._aftermath.ended(event):
            self._warn()

    # What a worker reports

    def received(self, member: Member, message: FromWorker) -> None:
        """Handles a message from a worker or standby."""
        member.update(message)
        if isinstance(message, CanaryReport):
            self._canary.heard(member, message)
        if isinstance(message, LoadReport | CanaryReport):
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
            if message.damaged:
                self._check_weights()
        self._changed()

    def gone(self, member: Member) -> None:
        """A process is dead, or about to be: its channel is closed. Its successor comes first, log and files after."""
        member.kill()
        self.members.remove(member)
        if not self._stopping:
            self._aftermath.fence(member)
            blamed = self._aftermath.blame(member)
            if self._aftermath.died_of_challenger(member):
                self._canary.died()
            if member.identity is not None and member.left:
                if self.sizing.has_left(member.identity):
                    self._succession.occupy()
                asyncio.get_running_loop().call_later(BETWEEN_LEAVES_S, self._go_on)
            elif member.identity is not None:
                self._succession.vacate(member.identity, time.monotonic() - member.took_over_at)
            self.sizing.fill_after(member)
            self._go_on()
            if blamed:
                self._aftermath.log_blamed(member.name, blamed)
                self._warn()
        self._changed()

    def _warn(self) -> None:
        """Tells every worker which records may kill it; a standby is told when it takes over."""
        self.members.tell_workers(self._aftermath.suspected())

    def _check_weights(self) -> None:
        """Has all processes of the service compare their weights: a page that two of them share is damaged for both."""
        for member in self.members:
            member.send(CheckWeights())
        if self._nurseries.present is not None:
            self._nurseries.present.check_weights()

    def _hand_over(self, member: Member) -> None:
        """The worker's last batch is committed: its identity goes to a successor before its process has ended."""
        if not self._stopping and (identity := member.hand_over(self._drains_within_s)) is not None:
            self._succession.vacate(identity, math.inf)

    def _became_ready(self, member: Member) -> None:
        self.failure = None
        self._start_backoff.forget()
        self._canary.greet(member)
        self._aftermath.prepare(member)
        self._succession.occupy()
        self._go_on()

    def _serves(self, member: Member, partitions: dict[str, list[int]]) -> None:
        self._succession.serves(member, partitions)
        if member.state != "draining":
            self._go_on()

    def _go_on(self) -> None:
        """Takes one step towards the present model in all workers, and towards the number of workers wanted."""
        if not self._stopping:
            self._rollout.step()
        self.sizing.shrink()

    def scale(self, workers: int) -> None:
        """Sets the number of workers. Those that stay go on with the partitions that they keep."""
        self.sizing.want(workers)
        self._succession.occupy()
        self.sizing.fill()
        self._go_on()
        self._changed()
