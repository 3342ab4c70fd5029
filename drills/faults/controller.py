"""SIGKILL of the broker that is the active controller."""

from __future__ import annotations

from drills.faults.asking import active_controller
from drills.faults.brokers import BrokerFault
from drills.faults.injector import Kind


class KillController(BrokerFault):
    """Kills the leader of the metadata quorum."""

    name = "controller"
    least_brokers = 3

    def victim(self) -> int:
        """The id of the active controller."""
        return active_controller(self.system)


CONTROLLER = Kind(
    "controller",
    "SIGKILL of the active controller",
    KillController,
    figure="pause",
    brokers=3,
    least_brokers=KillController.least_brokers,
)
