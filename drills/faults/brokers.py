"""The base of faults on brokers: a signal to one of several, undone when every replica is in sync again."""

from __future__ import annotations

import random
import time
from signal import SIGKILL, SIGSTOP, Signals

from confluent_kafka import KafkaException
from confluent_kafka.admin import ClusterMetadata

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.asking import TIMEOUT_S, admin
from drills.faults.injector import Aim, Process, Target
from drills.faults.process_handle import ProcessHandle, still_held
from drills.faults.running_system import RunningSystem
from standfast.core.errors import ClusterError, DrillRejected


class BrokerFault:
    """A signal to the broker that `victim` returns. Every partition counts as hit: the broker may lead any of them."""

    name = ""
    signal = SIGKILL  # the parameter `signal` comes first, where the fault has one
    least_brokers = 1

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        self.system = system
        self.aim = aim
        self.random = random.Random(aim.seed)
        self._held: ProcessHandle | None = None
        self._target = Target("broker", (), ())
        self._is_spared = False

    def victim(self) -> int:
        """The id of the broker to strike."""
        raise NotImplementedError

    def choose(self) -> Target:
        """The broker's process; raises DrillRejected if this system did not start that broker."""
        roles = {row.id: row.pid for row in self.system.status().roles}
        brokers = sum(name.startswith("kafka-") for name in roles)
        if brokers < self.least_brokers:
            raise DrillRejected(
                f"the fault {self.name} shows something with {self.least_brokers} brokers or more, and this system has "
                f"started {brokers}; see the setting kafka.brokers"
            )
        if self._held is None:
            name = f"kafka-{self.victim()}"
            if name not in roles:
                raise DrillRejected(f"{name} is no broker that this system has started; see: standfast status")
            self._held = ProcessHandle(name, roles[name])
        process = self._held.process
        if roles.get(process.id) != process.pid:
            raise DrillRejected(f"{process.id} was replaced while the steady state was checked; nothing was injected")
        hit = tuple(tuple(sorted(self.system.partitions(worker))) for worker in self.system.workers())
        gone = () if self._signal is SIGSTOP else (process.pid,)
        self._target = Target("broker", (process,), hit, gone=gone)
        return self._target

    def inject(self) -> Fault:
        """Sends the signal to the broker."""
        assert self._held is not None  # noqa: S101 - `choose` comes first
        at = time.monotonic()
        self._held.signal(self._signal)
        return self._target.struck(self.name, at)

    def injected(self, within_s: float) -> Finding:
        """Whether the process has ended."""
        if self._held is not None and self._held.dead_within(within_s):
            return Finding("passed", f"{self._target.named} has ended after {self._signal.name}")
        if self._signal is not SIGKILL:
            return Finding(
                "unknown", f"{self._target.named} has not ended yet, {within_s:g} s after {self._signal.name}"
            )
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
        if role is None or not self.may_run(victim, role.pid) or role.state != "running":
            return Finding("failed", f"{victim.id} does not run again")
        if not in_sync(metadata):
            return Finding("failed", f"{victim.id} runs again as process {role.pid}, and copies of it are not in sync")
        return Finding("passed", f"{victim.id} runs again as process {role.pid}, and every copy is in sync")

    def may_run(self, victim: Process, pid: int) -> bool:
        """Whether process `pid`, which is this broker now, shows that nothing is left of the fault."""
        return pid != victim.pid or self._is_spared

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

    @property
    def _signal(self) -> Signals:
        named = self.aim.params.get("signal")
        return Signals[f"SIG{named}"] if named else self.signal


def in_sync(metadata: ClusterMetadata) -> bool:
    """Whether each partition has all of its replicas in sync."""
    partitions = (partition for topic in metadata.topics.values() for partition in topic.partitions.values())
    return all(len(partition.isrs) == len(partition.replicas) for partition in partitions)
