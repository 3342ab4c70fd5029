"""The base of faults on brokers: a signal to one of several, undone when every replica is in sync again."""

from __future__ import annotations

import random
from signal import SIGKILL, SIGSTOP, Signals

from confluent_kafka import KafkaException
from confluent_kafka.admin import ClusterMetadata

from drills.evidence.verdict import Finding
from drills.faults.asking import TIMEOUT_S, admin
from drills.faults.injector import Aim, Process, Target
from drills.faults.one_process import HeldProcessFault
from drills.faults.process_handle import ProcessHandle
from drills.faults.running_system import RunningSystem
from standfast.core.errors import ClusterError, DrillRejected


class BrokerFault(HeldProcessFault):
    """A signal to the broker that `victim` returns. Every partition counts as hit: the broker may lead any of them."""

    what = "broker"
    signal = SIGKILL  # the parameter `signal` comes first, where the fault has one
    least_brokers = 1

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        super().__init__(system, aim)
        self.random = random.Random(aim.seed)

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
        if self.held is None:
            name = f"kafka-{self.victim()}"
            if name not in roles:
                raise DrillRejected(f"{name} is no broker that this system has started; see: standfast status")
            self.held = ProcessHandle(name, roles[name])
        process = self.held.process
        if roles.get(process.id) != process.pid:
            raise DrillRejected(f"{process.id} was replaced while the steady state was checked; nothing was injected")
        hit = tuple(tuple(sorted(self.system.partitions(worker))) for worker in self.system.workers())
        gone = () if self.sent is SIGSTOP else (process.pid,)
        self.target = Target(self.what, (process,), hit, gone=gone)
        return self.target

    def injected(self, within_s: float) -> Finding:
        """Whether the process has ended."""
        if self.held is not None and self.held.dead_within(within_s):
            return Finding("passed", f"{self.target.named} has ended after {self.sent.name}")
        if self.sent is not SIGKILL:
            return Finding("unknown", f"{self.target.named} has not ended yet, {within_s:g} s after {self.sent.name}")
        return Finding("failed", f"{self.target.named} still runs {within_s:g} s after SIGKILL")

    def undone(self) -> Finding:
        """Whether the broker runs in another process and every replica of every partition is in sync."""
        (victim,) = self.target.processes
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
        return pid != victim.pid or self.is_spared

    @property
    def sent(self) -> Signals:
        """The signal of the parameter `signal`, else the fault's own."""
        named = self.aim.params.get("signal")
        return Signals[f"SIG{named}"] if named else self.signal


def in_sync(metadata: ClusterMetadata) -> bool:
    """Whether each partition has all of its replicas in sync."""
    partitions = (partition for topic in metadata.topics.values() for partition in topic.partitions.values())
    return all(len(partition.isrs) == len(partition.replicas) for partition in partitions)
