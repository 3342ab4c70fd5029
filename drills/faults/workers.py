"""The base of faults on workers: the choice of victims, the signals, and the check that they were replaced."""

from __future__ import annotations

import contextlib
import random
import time
from signal import SIGKILL

from consumers.service import Service
from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Process, Target
from drills.faults.process_handle import ProcessHandle, still_held
from drills.faults.running_system import RunningSystem
from drills.running.targets import active_workers, ready_standbys
from drills.targets import WORKER_TARGETS, partition_of
from schemas.records import Scalar
from standfast.core.errors import ClusterError, DrillRejected
from standfast.core.status import SystemStatus, WorkerStatus

TARGETS = WORKER_TARGETS


class WorkerFault:
    """SIGKILL of one worker. Faults with other victims or other signals override `victims` and `strike`."""

    name = "kill"
    done = "was killed"

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        self.system = system
        self.aim = aim
        self.random = random.Random(aim.seed)
        self.held: list[ProcessHandle] = []
        self.target = Target("worker", (), ())
        self._spared: frozenset[int] = frozenset()  # pids

    def victims(self) -> list[WorkerStatus]:
        """The victims, those with partitions first; raises DrillRejected."""
        return [one_worker(self.system, self.aim, self.random)]

    def strike(self) -> None:
        """Sends the signals. Raises DrillRejected only if the first victim had ended, because then nothing was done."""
        first, *others = self.held
        first.signal(SIGKILL)
        for other in others:
            with contextlib.suppress(DrillRejected):  # it has ended by itself
                other.signal(SIGKILL)

    def choose(self) -> Target:
        """The victims; on a second call they must still be the same processes, else DrillRejected."""
        workers = self._held_workers() if self.held else self.victims()
        if not self.held:
            self.held = [ProcessHandle(worker.id, worker.pid) for worker in workers]
        owned = [tuple(sorted(self.system.partitions(worker))) for worker in workers]
        self.target = Target(
            what="worker",
            processes=tuple(handle.process for handle in self.held),
            hit=tuple(partitions for partitions in owned if partitions),
            gone=tuple(worker.pid for worker in workers),
            standbys=ready_standbys(self.system.status(), self.system.service),
        )
        return self.target

    def inject(self) -> Fault:
        """Sends the signals; raises DrillRejected if one of the processes has ended by itself."""
        for handle in self.held:
            if handle.dead_within(0):
                name, pid = handle.process.id, handle.process.pid
                raise DrillRejected(f"{name} (process {pid}) ended by itself before the fault")
        at = time.monotonic()
        self.strike()
        return self.target.struck(self.name, at)

    def injected(self, within_s: float) -> Finding:
        """Whether the processes have ended."""
        deadline = time.monotonic() + within_s
        if all(handle.dead_within(max(0.0, deadline - time.monotonic())) for handle in self.held):
            return Finding(
                "passed", f"{self.target.named} {self.done}; it owned partitions {list(self.target.partitions)}"
            )
        return Finding("failed", f"{self.target.named} still runs after {within_s:g} s")

    def lasted(self) -> bool:
        """Always True: a killed process stays dead, so the undo can begin at once."""
        return True

    def undo(self) -> None:
        """Does nothing: the supervisor starts the worker again."""

    def undone(self) -> Finding:
        """Whether each victim is active in another process, and as many standbys are ready as before."""
        try:
            status = self.system.status()
        except ClusterError:
            return Finding("unknown", "the system gives no status, so nobody knows whether the worker was replaced")
        active = {worker.id: worker.pid for worker in active_workers(status, self.system.service)}
        workers = self.target.processes[: len(self.target.hit)]
        for worker in workers:
            if worker.id not in active or not self.may_serve(worker, active[worker.id]):
                return Finding("failed", f"{worker.id} was not replaced")
        standbys = ready_standbys(status, self.system.service)
        again = ", ".join(f"{worker.id} is active again as process {active[worker.id]}" for worker in workers)
        text = f"{again}; standbys ready: {standbys} ({self.target.standbys} before)"
        return Finding("passed" if standbys >= self.target.standbys else "failed", text)

    def may_serve(self, victim: Process, pid: int) -> bool:
        """Whether process `pid`, which has the victim's identity, shows that the victim was replaced."""
        return pid != victim.pid or pid in self._spared

    def resume(self, target: Target) -> Finding:
        """`failed` if all victims still run, so none was struck; `unknown` if one ended: the cause is not known."""
        self.target = target
        self.held = still_held(target.processes)
        self._spared = frozenset(handle.process.pid for handle in self.held)
        ended = [process.id for process in target.processes if process.pid not in self._spared]
        if not ended:
            return Finding("failed", f"{target.named} was not struck: it still runs")
        return Finding("unknown", f"{', '.join(ended)} of {target.named} ended; whether the drill did it nobody saw")

    def close(self) -> None:
        """Closes the handles of the processes."""
        for handle in self.held:
            handle.close()
        self.held = []

    def _held_workers(self) -> list[WorkerStatus]:
        """The present status of the chosen workers; raises DrillRejected if one was replaced."""
        workers = {worker.id: worker for worker in self.system.status().workers}
        now = [workers.get(handle.process.id) for handle in self.held]
        for handle, worker in zip(self.held, now, strict=True):
            if worker is None or worker.pid != handle.process.pid:
                raise DrillRejected(
                    f"{handle.process.id} was replaced while the steady state was checked; nothing was injected"
                )
        return [worker for worker in now if worker is not None]


def one_worker(system: RunningSystem, aim: Aim, chance: random.Random) -> WorkerStatus:
    """The worker, or the owner of the partition or key, that the aim names; with a topic, an owner of most partitions.

    `chance` chooses among several, and among all owners if the aim names nobody. Raises DrillRejected.
    """
    service, status = system.service, system.status()
    if aim.target.get("host", status.host) not in {status.host, status.host.rpartition("-")[0]}:
        raise DrillRejected(
            f"host {aim.target['host']} is not this one, whose key on the topic status is {status.host}"
        )
    if "standby" in aim.target:
        return _standby(system, aim.target["standby"], chance)
    active = active_workers(status, service)
    if not active:
        raise DrillRejected(f"no worker of {service.name} is active; see: standfast status")
    if "worker" in aim.target:
        named = [worker for worker in active if worker.id == aim.target["worker"]]
        if not named:
            there = ", ".join(worker.id for worker in active)
            raise DrillRejected(f"{aim.target['worker']} is no active worker of {service.name}; there are: {there}")
        return _serving(named[0], system)
    if "partition" in aim.target or "key" in aim.target:
        partition = aim.target.get("partition", _partition_of(aim, status, service))
        owners = [worker for worker in active if partition in system.partitions(worker)]
        if not owners:
            raise DrillRejected(f"no active worker owns partition {partition} of {service.requests}")
        return owners[0]
    counts = [len(system.partitions(worker)) for worker in active]
    least = max(counts) if "topic" in aim.target else 1
    candidates = [worker for worker, count in zip(active, counts, strict=True) if count >= least]
    return _serving(chance.choice(candidates or active), system)


def _partition_of(aim: Aim, status: SystemStatus, service: Service) -> int | None:
    """The partition of the key that the aim names; None if it names none."""
    if "key" not in aim.target:
        return None
    partitions = [row.partitions for row in status.services if row.name == service.name]
    if not partitions or not partitions[0]:
        raise DrillRejected(f"how many partitions {service.requests} has is not known yet; see: standfast status")
    return partition_of(str(aim.target["key"]), partitions[0])


def _standby(system: RunningSystem, wanted: Scalar, chance: random.Random) -> WorkerStatus:
    standbys = sorted(system.standbys(), key=lambda standby: standby.id)
    chosen = [standby for standby in standbys if wanted is True or standby.id == wanted]
    if not chosen:
        there = ", ".join(standby.id for standby in standbys) or "none"
        raise DrillRejected(
            f"{system.service.name} has no ready standby {'' if wanted is True else wanted}; there are: {there}"
        )
    return chance.choice(chosen)


def _serving(worker: WorkerStatus, system: RunningSystem) -> WorkerStatus:
    if not system.partitions(worker):
        raise DrillRejected(
            f"{worker.id} owns no partition of {system.service.requests}: striking it would show nothing; choose "
            "another"
        )
    return worker
