"""What faults on workers have in common: whom they strike, that they strike by signals, and when all is well again."""

from __future__ import annotations

import contextlib
import random
import time
from signal import SIGKILL

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Process, Target
from drills.faults.process_handle import ProcessHandle, still_held
from drills.faults.running_system import RunningSystem
from drills.running.targets import active_workers, ready_standbys
from standfast.core.errors import ClusterError, DrillRejected
from standfast.core.status import WorkerStatus

TARGETS = {
    "worker": "the worker of that id, such as search-0",
    "partition": "the worker that owns this partition of the request topic",
    "topic": "the owner of most partitions of this request topic",
}


class OnWorkers:
    """SIGKILL of one worker. Faults that strike others, or in another way, override `victims` and `strike`."""

    name = "kill"
    done = "was killed"

    def __init__(self, scene: RunningSystem, aim: Aim) -> None:
        self.scene = scene
        self.aim = aim
        self.random = random.Random(aim.seed)
        self.held: list[ProcessHandle] = []
        self.target = Target("worker", (), ())
        self._spared: frozenset[int] = frozenset()  # pids

    def victims(self) -> list[WorkerStatus]:
        """Whom it strikes, those with partitions first; raises DrillRejected."""
        return [one_worker(self.scene, self.aim, self.random)]

    def strike(self) -> None:
        """Sends the signals; rejected only if the first one reached nobody, for then nothing was done."""
        first, *others = self.held
        first.signal(SIGKILL)
        for other in others:
            with contextlib.suppress(DrillRejected):  # it ended by itself meanwhile
                other.signal(SIGKILL)

    def choose(self) -> Target:
        """Those who are chosen; asked again, they must still be the same processes."""
        rows = self._as_they_are() if self.held else self.victims()
        if not self.held:
            self.held = [ProcessHandle(row.id, row.pid) for row in rows]
        owned = [tuple(sorted(self.scene.partitions(row))) for row in rows]
        self.target = Target(
            what="worker",
            processes=tuple(one.process for one in self.held),
            hit=tuple(partitions for partitions in owned if partitions),
            gone=tuple(row.pid for row in rows),
            standbys=ready_standbys(self.scene.status(), self.scene.service),
        )
        return self.target

    def inject(self) -> Fault:
        """Rejected if one of the processes ended by itself."""
        for one in self.held:
            if one.dead_within(0):
                raise DrillRejected(f"{one.process.id} (process {one.process.pid}) ended by itself before the fault")
        at = time.monotonic()
        self.strike()
        return self.target.struck(self.name, at)

    def injected(self, within_s: float) -> Finding:
        """Whether the processes are gone."""
        until = time.monotonic() + within_s
        if all(one.dead_within(max(0.0, until - time.monotonic())) for one in self.held):
            return Finding(
                "passed", f"{self.target.named} {self.done}; it owned partitions {list(self.target.partitions)}"
            )
        return Finding("failed", f"{self.target.named} still runs after {within_s:g} s")

    def lasted(self) -> bool:
        """At once: who is dead stays so."""
        return True

    def undo(self) -> None:
        """Nothing to do: the supervisor starts the worker again."""

    def undone(self) -> Finding:
        """Whether each worker is active in another process, and as many standbys are ready as before."""
        try:
            running = self.scene.status()
        except ClusterError:
            return Finding("unknown", "the system gives no status, so nobody knows whether the worker was replaced")
        active = {worker.id: worker.pid for worker in active_workers(running, self.scene.service)}
        workers = self.target.processes[: len(self.target.hit)]
        for worker in workers:
            if worker.id not in active or not self.may_serve(worker, active[worker.id]):
                return Finding("failed", f"{worker.id} was not replaced")
        standbys = ready_standbys(running, self.scene.service)
        again = ", ".join(f"{worker.id} is active again as process {active[worker.id]}" for worker in workers)
        text = f"{again}; standbys ready: {standbys} ({self.target.standbys} before)"
        return Finding("passed" if standbys >= self.target.standbys else "failed", text)

    def may_serve(self, victim: Process, pid: int) -> bool:
        """Whether that process, which serves under the victim's identity, shows that the fault is over."""
        return pid != victim.pid or pid in self._spared

    def resume(self, target: Target) -> Finding:
        """Whether they still run, which shows that nothing struck them; of those that ended nobody knows why."""
        self.target = target
        self.held = still_held(target.processes)
        self._spared = frozenset(one.process.pid for one in self.held)
        ended = [process.id for process in target.processes if process.pid not in self._spared]
        if not ended:
            return Finding("failed", f"{target.named} was not struck: it still runs")
        return Finding("unknown", f"{', '.join(ended)} of {target.named} ended; whether the drill did it nobody saw")

    def close(self) -> None:
        """Lets go of the processes."""
        for one in self.held:
            one.close()
        self.held = []

    def _as_they_are(self) -> list[WorkerStatus]:
        rows = {worker.id: worker for worker in self.scene.status().workers}
        now = [rows.get(one.process.id) for one in self.held]
        for held, row in zip(self.held, now, strict=True):
            if row is None or row.pid != held.process.pid:
                raise DrillRejected(
                    f"{held.process.id} was replaced while the steady state was checked; nothing was injected"
                )
        return [row for row in now if row is not None]


def one_worker(scene: RunningSystem, aim: Aim, chance: random.Random) -> WorkerStatus:
    """The worker that the aim names; the owner of most partitions if it names a topic; else any that has partitions.

    What is left open is left to chance. Raises DrillRejected.
    """
    service = scene.service
    active = active_workers(scene.status(), service)
    if not active:
        raise DrillRejected(f"no worker of {service.name} is active; see: standfast status")
    if "worker" in aim.target:
        named = [one for one in active if one.id == aim.target["worker"]]
        if not named:
            there = ", ".join(one.id for one in active)
            raise DrillRejected(f"{aim.target['worker']} is no active worker of {service.name}; there are: {there}")
        return _serving(named[0], scene)
    if "partition" in aim.target:
        owners = [one for one in active if aim.target["partition"] in scene.partitions(one)]
        if not owners:
            partition = aim.target["partition"]
            raise DrillRejected(f"no active worker owns partition {partition} of {service.requests}")
        return owners[0]
    counts = [len(scene.partitions(one)) for one in active]
    least = max(counts) if "topic" in aim.target else 1
    candidates = [one for one, count in zip(active, counts, strict=True) if count >= least]
    return _serving(chance.choice(candidates or active), scene)


def _serving(worker: WorkerStatus, scene: RunningSystem) -> WorkerStatus:
    if not scene.partitions(worker):
        raise DrillRejected(
            f"{worker.id} owns no partition of {scene.service.requests}: striking it would show nothing; choose another"
        )
    return worker
