"""The base of faults on brokers: SIGKILL of one of several, undone when every replica is in sync again."""

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

TIMEOUT_S = 30.0  # of one question to Kafka; it may have to elect a leader first


class BrokerFault:
    """SIGKILL of the broker that `victim` returns. Every partition counts as hit: the broker may lead any of them."""

    name = ""

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        self.system = system
        self.aim = aim
        self.random = random.Random(aim.seed)
        self._held: ProcessHandle | None = None
        self._target = Target("broker", (), ())
        self._is_spared = False

    def victim(self) -> int:
        """The id of the broker to kill."""
        raise NotImplementedError

    def choose(self) -> Target:
        """The broker's process; raises DrillRejected if this system did not start that broker."""
        roles = {row.id: row.pid for row in self.system.status().roles}
        if self._held is None:
            name = f"kafka-{self.victim()}"
            if name not in roles:
                raise DrillRejected(f"{name} is no broker that this system has started; see: standfast status")
            self._held = ProcessHandle(name, roles[name])
        process = self._held.process
        if roles.get(process.id) != process.pid:
            raise DrillRejected(f"{process.id} was replaced while the steady state was checked; nothing was injected")
        hit = tuple(tuple(sorted(self.system.partitions(worker))) for worker in self.system.workers())
        self._target = Target("broker", (process,), hit, gone=(process.pid,))
        return self._target

    def inject(self) -> Fault:
        """Sends SIGKILL to the broker."""
        assert self._held is not None  # noqa: S101 - `choose` comes first
        at = time.monotonic()
        self._held.signal(SIGKILL)
        return self._target.struck(self.name, at)

    def injected(self, within_s: float) -> Finding:
        """Whether the process has ended."""
        if self._held is not None and self._held.dead_within(within_s):
            return Finding("passed", f"{self._target.named} was killed")
        return Finding("failed", f"{self._target.named} still runs {within_s:g} s after SIGKILL")

    def lasted(self) -> bool:
        """Always True: a killed process stays dead, so the undo can begin at once."""
        return True

    def undo(self) -> None:
        """Does nothing: the supervisor starts the broker again."""

    def undone(self) -> Finding:
        """Whether the broker runs in another process and every replica of every partition is in sync."""
        (victim,) = self._target.processes
        try:
            roles = {row.id: row for row in self.system.status().roles}
            metadata = admin(self.system).list_topics(timeout=TIMEOUT_S)
        except (ClusterError, KafkaException) as error:
            return Finding("unknown", f"whether {victim.id} is back is not known: {error}")
        role = roles.get(victim.id)
        if role is None or (role.pid == victim.pid and not self._is_spared) or role.state != "running":
            return Finding("failed", f"{victim.id} was not started again")
        if not in_sync(metadata):
            return Finding("failed", f"{victim.id} runs again as process {role.pid}, and copies of it are not in sync")
        return Finding("passed", f"{victim.id} runs again as process {role.pid}, and every copy is in sync")

    def resume(self, target: Target) -> Finding:
        """`failed` if the broker still runs, so was not killed; `unknown` if it ended: the cause is not known."""
        self._target = target
        self._held = next(iter(still_held(target.processes)), None)
        self._is_spared = self._held is not None
        if self._is_spared:
            return Finding("failed", f"{target.named} was not struck: it still runs")
        return Finding("unknown", f"{target.named} ended; whether the drill did it nobody saw")

    def close(self) -> None:
        """Closes the handle of the process."""
        if self._held is not None:
            self._held.close()
        self._held = None


def admin(system: RunningSystem) -> AdminClient:
    """An admin client of the system's Kafka."""
    return AdminClient(clients.base(system.settings, "standfast-faults"))


def in_sync(metadata: ClusterMetadata) -> bool:
    """Whether each partition has all of its replicas in sync."""
    partitions = (partition for topic in metadata.topics.values() for partition in topic.partitions.values())
    return all(len(partition.isrs) == len(partition.replicas) for partition in partitions)
