"""SIGKILL of the broker that is the active controller."""

from __future__ import annotations

import subprocess

from drills.faults.brokers import TIMEOUT_S, BrokerFault
from drills.faults.injector import Kind
from drills.faults.running_system import RunningSystem
from standfast.core.errors import ClusterError
from standfast.core.processes.launching import command


class KillController(BrokerFault):
    """Kills the leader of the metadata quorum."""

    name = "controller"

    def victim(self) -> int:
        """The id of the active controller."""
        return active_controller(self.system)


def active_controller(system: RunningSystem) -> int:
    """The broker id of the active controller, from `kafka-metadata-quorum`; raises ClusterError.

    A metadata response names an arbitrary broker as controller, so a client cannot be asked.
    """
    servers = system.settings.kafka.bootstrap_servers
    arguments = command("kafka", "metadata-quorum", "--bootstrap-server", servers, "describe", "--status")
    output = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    leaders = [line.split()[1] for line in output.stdout.splitlines() if line.startswith("LeaderId:")]
    if not leaders:
        raise ClusterError(
            f"the active controller is not known: {output.stderr.strip()[-300:] or output.stdout[-300:]}"
        )
    return int(leaders[0])


CONTROLLER = Kind("controller", "SIGKILL of the active controller", KillController, figure="pause", brokers=3)
