"""What faults on brokers have in common: SIGKILL of one of several, and when Kafka is whole again."""

from __future__ import annotations

import random
import time
from signal import SIGKILL

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Target
from drills.faults.process_handle import ProcessHandle, still_held
from drills.faults.running_system import RunningSystem
from standfast.core import clients
from standfast.core.errors import ClusterError, DrillRejected

TIMEOUT_S = 30.0


class OnBroker:
    """SIGKILL of the broker that `victim` names. Every partition counts as hit: any of them may have led there."""

    name = ""

    def __init__(self, scene: RunningSystem, aim: Aim) -> None:
        self.scene = scene
        self.aim = aim
        self.random = random.Random(aim.seed)
        self._held: ProcessHandle | None = None
        self._target = Target("broker", (), ())
        self._is_spared = False

    def victim(self) -> int:
        """The id of the broker to kill."""
        raise NotImplementedError

    def choose(self) -> Target:
        """The broker's process, which must be one of this machine's."""
        rows = {row.id: row.pid for row in self.scene.status().roles}
        if self._held is None:
            name = f"kafka-{self.victim()}"
            if name not in rows:
                raise DrillRejected(f"{name} is no broker that this system has started; see: standfast status")
            self._held = ProcessHandle(name, rows[name])
        process = self._held.process
        if rows.get(process.id) != process.pid:
            raise DrillRejected(f"{process.id} was replaced while the steady state was checked; nothing was injected")
        hit = tuple(tuple(sorted(self.scene.partitions(worker))) for worker in self.scene.workers())
        self._target = Target("broker", (process,), hit, gone=(process.pid,))
        return self._target

    def inject(self) -> Fault:
        """Kills it."""
        assert self._held is not None  # noqa: S101 - chosen before
        at = time.monotonic()
        self._held.signal(SIGKILL)
        return self._target.struck(self.name, at)

    def injected(self, within_s: float) -> Finding:
        """Whether the process is gone."""
        if self._held is not None and self._held.dead_within(within_s):
            return Finding("passed", f"{self._target.named} was killed")
        return Finding("failed", f"{self._target.named} still runs {within_s:g} s after SIGKILL")

    def lasted(self) -> bool:
        """At once: who is dead stays so."""
        return True

    def undo(self) -> None:
        """Nothing to do: the supervisor starts the broker again."""

    def undone(self) -> Finding:
        """Whether it runs in another process, and every copy of every partition is in sync."""
        (victim,) = self._target.processes
        try:
            rows = {row.id: row for row in self.scene.status().roles}
            known = admin(self.scene).list_topics(timeout=TIMEOUT_S)
        except (ClusterError, KafkaException) as error:
            return Finding("unknown", f"whether {victim.id} is back is not known: {error}")
        now = rows.get(victim.id)
        if now is None or (now.pid == victim.pid and not self._is_spared) or now.state != "running":
            return Finding("failed", f"{victim.id} was not started again")
        if not in_sync(known):
            return Finding("failed", f"{victim.id} runs again as process {now.pid}, and copies of it are not in sync")
        return Finding("passed", f"{victim.id} runs again as process {now.pid}, and every copy is in sync")

    def resume(self, target: Target) -> Finding:
        """Whether it still runs, which shows that nothing struck it; if it ended nobody knows why."""
        self._target = target
        self._held = next(iter(still_held(target.processes)), None)
        self._is_spared = self._held is not None
        if self._is_spared:
            return Finding("failed", f"{target.named} was not struck: it still runs")
        return Finding("unknown", f"{target.named} ended; whether the drill did it nobody saw")

    def close(self) -> None:
        """Lets go of the process."""
        if self._held is not None:
            self._held.close()
        self._held = None


def admin(scene: RunningSystem) -> AdminClient:
    """A client that asks the scene's Kafka about itself."""
    return AdminClient(clients.base(scene.settings, "standfast-faults"))


def in_sync(known: ClusterMetadata) -> bool:
    """Whether each partition has as many copies in sync as it is to have."""
    partitions = (partition for topic in known.topics.values() for partition in topic.partitions.values())
    return all(len(partition.isrs) == len(partition.replicas) for partition in partitions)
