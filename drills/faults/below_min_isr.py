"""A follower stopped while the request topic needs every replica in sync: Kafka takes no request until it is back."""

from __future__ import annotations

import time
from dataclasses import replace

from confluent_kafka import KafkaError

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding, together
from drills.faults.asking import a_follower, metadata_of
from drills.faults.freeze import FreezeBroker
from drills.faults.injector import Aim, Kind, Target
from drills.faults.running_system import RunningSystem
from drills.faults.topic_setting import TopicSetting
from drills.params import Param


class _EveryReplica(TopicSetting):
    """min.insync.replicas = the replicas of a partition: with it one follower less is one too few.

    More than that would be simpler, and need no follower to stop, but Kafka then asks for all replicas only.
    """

    name = "broker-below-min-isr"
    setting = "min.insync.replicas"
    refusal = KafkaError.NOT_ENOUGH_REPLICAS

    def wanted(self) -> str:
        """The most replicas of a partition."""
        partitions = metadata_of(self.system).topics[self.system.service.requests].partitions
        return str(max(len(partition.replicas) for partition in partitions.values()))


class BelowMinIsr(FreezeBroker):
    """Freezes a follower of the request topic, and raises the topic's min.insync.replicas."""

    name = "broker-below-min-isr"
    least_brokers = 3

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        super().__init__(system, aim)
        self._setting = _EveryReplica(system, aim)

    def victim(self) -> int:
        """The id of a follower, which is not the controller where there is another one."""
        return a_follower(self.system, self.aim, self.random)

    def choose(self) -> Target:
        """The follower, and the topic's setting as it was."""
        self.target = replace(super().choose(), before=self._setting.choose().before)
        return self.target

    def inject(self) -> Fault:
        """Raises the setting, then stops the follower."""
        self._setting.strike()
        return super().inject()

    def injected(self, within_s: float) -> Finding:
        """Whether the follower is stopped, and Kafka refuses a record because of it."""
        deadline = time.monotonic() + within_s
        frozen = super().injected(within_s)
        if frozen.check != "passed":
            return frozen
        return together([frozen, self._setting.injected(max(0.0, deadline - time.monotonic()))])

    def undo(self) -> None:
        """Lets the follower go on, and sets the setting back."""
        super().undo()
        self._setting.undo()

    def undone(self) -> Finding:
        """Whether both are as they were."""
        return together([super().undone(), self._setting.undone()])

    def resume(self, target: Target) -> Finding:
        """`passed` if the follower still stands still."""
        self._setting.target = target
        return super().resume(target)


BELOW_MIN_ISR = Kind(
    "broker-below-min-isr",
    "too few replicas in sync for the request topic",
    BelowMinIsr,
    targets={"follower": "a follower of this partition that is in sync"},
    undo="the follower goes on (SIGCONT) and min.insync.replicas is set back; the drill checks both, and every copy",
    params=(Param("at_most_s", 8.0, "the follower goes on after so long", 0.1, 300),),
    figure=None,
    least_brokers=BelowMinIsr.least_brokers,
)
