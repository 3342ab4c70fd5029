"""Who serves one service: its workers, its warm standbys, and who takes over from whom.

When a worker ends, its identity (`search-0`, a static member of the consumer group) is handed to a warm standby, which
joins under it without a rebalance: the other workers' partitions do not pause. At the same moment the dead worker's
transactional id is fenced, which ends its open transaction.

A new model version comes the same way: a second nursery loads it, its standbys warm up, and one old worker after the
other finishes its batch and hands its identity on. Runs on the supervisor's asyncio loop; nothing here blocks.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from consumers.announced import was_announced
from consumers.backoff import Backoff
from consumers.identities import Identities
from consumers.member import Member
from consumers.messages import Activate, Exited, Failed, Ready, Serving, Stop
from consumers.nursery_handle import NurseryHandle
from consumers.process import suspects_file
from consumers.service import Service
from consumers.suspects import Suspects
from standfast import telemetry
from standfast.settings import Settings
from standfast.status import WorkerState, WorkerStatus

_log = structlog.get_logger()
_WATCH_S = 0.1
# A stopped process (state T) will not come back by itself; one that only ticks late may be short of processor time.
_PATIENCE_WITH_RUNNING = 5.0


class Pool:
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
        self._partitions = 0
        self._settings = settings
        self._changed = changed
        self._environment = environment
        self._nursery = NurseryHandle(service, environment, self)
        self._next: NurseryHandle | None = None
        self._retiring: list[NurseryHandle] = []
        self._members: dict[str, Member] = {}
        self._identities = Identities(service.worker_id(number) for number in range(service.workers))
        self._births = Backoff(deaths=1, within_s=60.0)
        self._fencing = ThreadPoolExecutor(8, thread_name_prefix=f"fence-{service.name}")
        self._suspects = Suspects(suspects_file(service))
        self._being_fenced: set[str] = set()
        self._watched_at = 0.0
        self._stopping = False
        self.failure: str | None = None

    def start(self) -> None:
        """Starts the nursery, which loads the model; `serve` is to follow. From the main thread only."""
        self._nursery.start()
        self._watched_at = time.monotonic()
        asyncio.get_running_loop().call_later(_WATCH_S, self._watch)

    def serve(self, partitions: int) -> None:
        """Lets workers be forked: Kafka is there, and the request topic has this many partitions."""
        self._partitions = partitions
        self._fill()

    @property
    def model(self) -> str:
        """The label of the model that new workers have; empty before it is loaded."""
        return self._nursery.model

    def renew(self) -> None:
        """Brings in the version that is active now; the old one serves until the new one is warm, or if it fails."""
        if self._next is None and self.model and not self._stopping:
            self._next = NurseryHandle(self.service, self._environment, self)
            self._next.start()

    @property
    def complete(self) -> bool:
        """Every worker serves, every partition is served, and every standby is warm."""
        members = self._members.values()
        serving = sum(member.state == "serving" for member in members)
        ready = sum(member.state == "ready" for member in members)
        served = sum(len(numbers) for member in members for numbers in member.partitions.values())
        return serving >= self.service.workers and ready >= self.service.standbys and served >= self._partitions

    def status(self) -> list[WorkerStatus]:
        """Every process, workers first."""
        rows = [
            WorkerStatus(
                id=member.identity or member.slot,
                pid=member.pid,
                group=self.service.group,
                role="active" if member.identity else "standby",
                state=member.state,
                model=member.model,
                partitions=member.partitions,
                restarts=self._identities.restarts(member.identity),
            )
            for member in self._members.values()
            if member.pid
        ]
        held = [
            WorkerStatus(id=identity, pid=0, group=self.service.group, role="active", state=self._waiting(identity))
            for identity in self._identities.vacant
        ]
        return sorted(rows + held, key=lambda row: (row.role, row.id))

    async def stop(self, within_s: float) -> None:
        """Lets every worker finish its batch, then ends what is left after `within_s` seconds."""
        self._stopping = True
        for member in self._members.values():
            member.send(Stop())
        deadline = time.monotonic() + within_s
        while self._members and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for member in list(self._members.values()):
            _log.warning("worker did not stop in time and is killed", worker=member.name, pid=member.pid)
            member.kill()
        for nursery in (self._nursery, self._next, *self._retiring):
            if nursery is not None:
                nursery.stop()
        self._fencing.shutdown(wait=False, cancel_futures=True)

    # What the nursery reports

    def loaded(self, nursery: NurseryHandle, model: str) -> None:
        """A nursery is ready to fork; a new version's takes over from the present one."""
        if nursery is self._next:
            _log.info("new model is loaded", service=self.service.name, model=model)
            self._retiring.append(self._nursery)
            self._nursery, self._next = nursery, None
        self._fill()
        self._changed()

    def nursery_failed(self, nursery: NurseryHandle, reason: str) -> None:
        """A nursery could not load its model, or died; its children die with it, and all is begun again."""
        if self._stopping or nursery in self._retiring:
            return
        self.failure = reason
        if nursery is self._next:
            self._next = None
            _log.error("new model refused, the old one goes on", service=self.service.name, reason=reason)
        else:
            delay = self._births.after_death()
            _log.error("nursery ended and is started again", service=self.service.name, reason=reason, in_s=delay)
            asyncio.get_running_loop().call_later(delay, nursery.start)
        self._changed()

    def exited(self, event: Exited) -> None:
        """How a process ended, for the log and the metrics; what follows from it was done when its channel closed."""
        reason = _why(event.status)
        telemetry.RESTARTS.labels(self.service.name, reason).inc()
        (_log.info if event.status == 0 or self._stopping else _log.warning)(
            "process ended", slot=event.slot, pid=event.pid, reason=reason
        )

    # What a worker reports

    def said(self, member: Member, message: Ready | Serving | Failed) -> None:
        """A message from a worker or standby."""
        if isinstance(message, Ready):
            self._became_ready(member)
        elif isinstance(message, Serving):
            self._serves(member, message.partitions)
        else:
            _log.error("worker failed", worker=member.name, reason=message.reason)
            self.failure = message.reason
        self._changed()

    def gone(self, member: Member) -> None:
        """A process is dead, or about to be: its channel is closed. Its successor comes first, then the bookkeeping."""
        member.kill()
        self._members.pop(member.slot, None)
        if not self._stopping:
            self._fence(member)
            self._blame(member)
            if member.identity is not None:
                self._vacate(member.identity, time.monotonic() - member.took_over_at)
            self._fill(self._births.after_death() if member.state == "starting" and member.identity is None else 0.0)
            self._roll()
        self._changed()

    def _became_ready(self, member: Member) -> None:
        member.state = "ready"
        self.failure = None
        self._births.forget()
        if self._settings.workers.delivery == "exactly_once":
            self._fencing.submit(member.arm, self._settings, self.service)
        self._occupy()
        self._roll()

    def _serves(self, member: Member, partitions: dict[str, list[int]]) -> None:
        member.partitions = partitions
        if member.state == "draining":
            return
        if member.state != "serving" and member.vacant_since is not None and partitions:
            took = time.monotonic() - member.vacant_since
            if self._identities.restarts(member.identity):
                telemetry.FAILOVER.labels(self.service.name).observe(took)
                _log.info("identity taken over", worker=member.identity, pid=member.pid, after_ms=round(took * 1000, 1))
            member.vacant_since = None
        member.state = "serving"
        self._roll()

    def _roll(self) -> None:
        """One step towards having only workers of the present nursery: never more than one identity changes hands."""
        if not self._retiring or self._stopping:
            return
        old = [member for member in self._members.values() if member.model != self.model]
        for member in old:
            if member.identity is None and member.state != "draining":
                self._drain(member)
        warm = any(member.state == "ready" for member in self._members.values())
        between = bool(self._identities.vacant) or any(member.identity and member.state != "serving" for member in old)
        serving = [member for member in old if member.state == "serving"]
        if serving and warm and not between:
            self._drain(serving[0])
        if not old:
            for nursery in self._retiring:
                nursery.stop()
            self._retiring.clear()
            _log.info("all workers have the new model", service=self.service.name, model=self.model)

    def _drain(self, member: Member) -> None:
        member.state = "draining"
        member.send(Stop())

    # Identities

    def _vacate(self, identity: str, lived_s: float) -> None:
        delay = self._identities.vacate(identity, lived_s)
        if delay:
            _log.error("worker keeps dying; its next start waits", worker=identity, wait_s=delay)
            asyncio.get_running_loop().call_later(delay, self._occupy)
        self._occupy()

    def _occupy(self) -> None:
        """Hands vacant identities to warm standbys."""
        if self._stopping:
            return
        free = [member for member in self._members.values() if member.state == "ready"]
        for identity, member in zip(self._identities.takeable(), free, strict=False):
            if member.send(Activate(identity)):
                member.vacant_since = self._identities.occupy(identity)
                member.identity, member.state, member.took_over_at = identity, "starting", time.monotonic()
        self._fill()

    def _waiting(self, identity: str) -> WorkerState:
        return "backing_off" if self._identities.backs_off(identity) else "starting"

    # Processes

    def _fill(self, delay: float = 0.0) -> None:
        """Forks what is missing to have every worker and every standby."""
        if delay:
            asyncio.get_running_loop().call_later(delay, self._fill)
            return
        if self._stopping or not self.model or not self._partitions:
            return
        wanted = self.service.workers + self.service.standbys
        while sum(member.model == self.model for member in self._members.values()) < wanted:
            slot = self._free_slot()
            self._members[slot] = self._nursery.fork(slot)

    def _free_slot(self) -> str:
        number = 0
        while (slot := f"{self.service.name}-s{number}") in self._members or slot in self._being_fenced:
            number += 1
        return slot

    def _fence(self, member: Member) -> None:
        """Fences a dead process's transactional id in the background; its slot is free again afterwards."""
        if member.fence is None:
            return
        self._being_fenced.add(member.slot)
        future = self._fencing.submit(member.fence.fence)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._fenced, member.slot))

    def _fenced(self, slot: str) -> None:
        self._being_fenced.discard(slot)

    def _blame(self, member: Member) -> None:
        """Marks what was being computed when the process died, unless somebody killed it on purpose."""
        announced = was_announced(member.pid)
        computing = member.ledger.read().computing
        if computing and not announced:
            _log.warning(
                "records were being computed when their worker died", worker=member.name, records=len(computing)
            )
            self._suspects.blame(computing)

    def _watch(self) -> None:
        """Kills what hangs: a process whose tick is late, or a batch that takes for ever."""
        now = time.monotonic()
        own_delay, self._watched_at = now - self._watched_at - _WATCH_S, now
        if own_delay < _WATCH_S:  # else it is this process that was late
            for member in list(self._members.values()):
                reason = self._hangs(member)
                if reason is not None:
                    _log.warning("worker hangs and is killed", worker=member.name, pid=member.pid, reason=reason)
                    member.kill()
        if not self._stopping:
            asyncio.get_running_loop().call_later(_WATCH_S, self._watch)

    def _hangs(self, member: Member) -> str | None:
        if member.state == "starting" and member.identity is None:
            return None
        limits = self._settings.workers
        seen = member.ledger.read()
        late = seen.tick_age * 1000 > limits.hang_after_ms
        if late and (member.is_stopped() or seen.tick_age * 1000 > limits.hang_after_ms * _PATIENCE_WITH_RUNNING):
            return f"no tick for {seen.tick_age:.1f} s"
        if seen.computing_for is not None and seen.computing_for > limits.stuck_after_s:
            return f"a batch has been computed for {seen.computing_for:.0f} s"
        return None


def _why(status: int) -> str:
    if status == 0:
        return "stopped"
    if status < 0:
        return signal.Signals(-status).name
    return "failed"
