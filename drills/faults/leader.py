"""SIGKILL or SIGTERM of a broker that leads a partition of the request topic, or has another role."""

from __future__ import annotations

from drills.faults.asking import broker_in_role
from drills.faults.brokers import BrokerFault
from drills.faults.injector import Kind
from drills.params import Param
from drills.targets import BROKER_TARGETS


class KillLeader(BrokerFault):
    """Kills the broker that the aim names, else a random leader.

    That is the active controller only if no other broker leads a partition.
    """

    name = "broker"

    def victim(self) -> int:
        """The broker's id."""
        return broker_in_role(self.system, self.aim, self.random)


LEADER = Kind(
    "broker",
    "SIGKILL of a partition's leader",
    KillLeader,
    targets=BROKER_TARGETS,
    params=(Param("signal", "KILL", "KILL, or TERM: it hands its partitions over first", choices=("KILL", "TERM")),),
    figure="pause",
    brokers=3,
)
