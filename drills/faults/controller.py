"""SIGKILL of the broker that is the active controller."""

from __future__ import annotations

import subprocess

from drills.faults.brokers import TIMEOUT_S, OnBroker
from drills.faults.injector import Kind
from drills.faults.running_system import RunningSystem
from standfast.core.errors import ClusterError
from standfast.core.processes.launching import command


class KillController(OnBroker):
    """Kills whoever leads the metadata quorum."""

    name = "controller"

    def victim(self) -> int:
        """Its id."""
        return active_controller(self.scene)


def active_controller(scene: RunningSystem) -> int:
    """Clients are told of any broker when they ask for the controller; only the quorum knows."""
    servers = scene.settings.kafka.bootstrap_servers
    asked = command("kafka", "metadata-quorum", "--bootstrap-server", servers, "describe", "--status")
    said = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    leaders = [line.split()[1] for line in said.stdout.splitlines() if line.startswith("LeaderId:")]
    if not leaders:
        raise ClusterError(f"the active controller is not known: {said.stderr.strip()[-300:] or said.stdout[-300:]}")
    return int(leaders[0])


CONTROLLER = Kind("controller", "SIGKILL of the active controller", KillController, figure="pause", brokers=3)
