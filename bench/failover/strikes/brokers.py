"""SIGKILL of one broker of three: the leader of a request partition, or the one that is the active controller."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

from confluent_kafka.admin import AdminClient

from bench.failover.strikes.scene import Scene, Struck, struck
from standfast import clients
from standfast.errors import ClusterError
from standfast.launching import command

_TIMEOUT_S = 30.0


def leader(scene: Scene) -> Struck:
    """Kills a broker that leads a request partition; the controller only where no other leads one."""
    led = _led(scene)
    return _kill(scene, random.choice(sorted(led - {_controller(scene)} or led)))


def controller(scene: Scene) -> Struck:
    """Kills the broker that is the active controller."""
    return _kill(scene, _controller(scene))


def _kill(scene: Scene, broker: int) -> Struck:
    row = next(row for row in scene.status().roles if row.id == f"kafka-{broker}")
    everybody = [scene.partitions(one) for one in scene.workers()]
    at = time.monotonic()
    os.kill(row.pid, signal.SIGKILL)
    return struck(everybody, [row.pid], at)


def _led(scene: Scene) -> set[int]:
    found = AdminClient(clients.base(scene.settings, "standfast-bench")).list_topics(timeout=_TIMEOUT_S)
    return {one.leader for one in found.topics[scene.service.requests].partitions.values()}


def _controller(scene: Scene) -> int:
    """Clients are told of any broker when they ask for the controller; only the quorum knows."""
    servers = scene.settings.kafka.bootstrap_servers
    asked = command("kafka", "metadata-quorum", "--bootstrap-server", servers, "describe", "--status")
    said = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S)
    found = [line.split()[1] for line in said.stdout.splitlines() if line.startswith("LeaderId:")]
    if not found:
        raise ClusterError(f"the active controller is not known: {said.stderr.strip()[-300:] or said.stdout[-300:]}")
    return int(found[0])
