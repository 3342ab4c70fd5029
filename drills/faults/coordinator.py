"""SIGKILL of the broker that coordinates the service's consumer group: offsets and membership move to another one."""

from __future__ import annotations

from drills.faults.asking import coordinator
from drills.faults.brokers import BrokerFault
from drills.faults.injector import Kind


class KillCoordinator(BrokerFault):
    """Kills the broker that FindCoordinator names for the service's group."""

    name = "broker-coordinator"
    least_brokers = 3

    def victim(self) -> int:
        """The broker's id."""
        return coordinator(self.system, self.system.service.group)


COORDINATOR = Kind(
    "broker-coordinator",
    "SIGKILL of the coordinator of the service's group",
    KillCoordinator,
    figure=None,
    least_brokers=KillCoordinator.least_brokers,
)
