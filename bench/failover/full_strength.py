"""Whether a struck system is whole again: nobody missing, nobody there who should be dead."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, BrokerMetadata

from consumers.service import Service
from drills.faults.brokers import in_sync
from drills.faults.running_system import RunningSystem, pids
from drills.running.targets import owned_by
from standfast.core import clients
from standfast.core.errors import ClusterError
from standfast.core.status import SystemStatus

_PATIENCE_S = 90.0
_POLL_S = 0.05
_KAFKA_S = 5.0


class FullStrength:
    """As many workers, standbys and brokers as there were when this was made, and every partition served."""

    def __init__(self, scene: RunningSystem) -> None:
        self._scene = scene
        self._service = scene.service
        self._admin = AdminClient(clients.base(scene.settings, "standfast-bench"))
        roles = [worker.role for worker in scene.status().workers if worker.group == scene.service.group]
        found = self._admin.list_topics(timeout=_KAFKA_S)
        partitions = len(found.topics[scene.service.requests].partitions)
        self._wanted = roles.count("active"), roles.count("standby"), partitions
        self._brokers = len(found.brokers)

    def await_again(self, gone: Iterable[int] = ()) -> float:
        """When it was found whole, without the processes `gone`; raises ClusterError after 90 s."""
        dead = frozenset(gone)
        until = time.monotonic() + _PATIENCE_S
        while not (self._is_whole(dead) and self._has_its_brokers()):
            if time.monotonic() > until:
                raise ClusterError(
                    f"{self._service.name} did not come back to full strength in {_PATIENCE_S:.0f} s; "
                    "see `standfast status`"
                )
            time.sleep(_POLL_S)
        return time.monotonic()

    def _is_whole(self, dead: frozenset[int]) -> bool:
        try:
            running = self._scene.status()
        except ClusterError:  # nothing runs yet
            return False
        if dead & pids(running):
            return False
        there = _strength(running, self._service)
        return all(have >= wanted for have, wanted in zip(there, self._wanted, strict=True))

    def _has_its_brokers(self) -> bool:
        """Each answers, and has every record of every partition it keeps a copy of."""
        try:
            found = self._admin.list_topics(timeout=_KAFKA_S)
        except KafkaException:
            return False
        return in_sync(found) and len(found.brokers) == self._brokers and all(map(_listens, found.brokers.values()))


def _strength(running: SystemStatus, own: Service) -> tuple[int, int, int]:
    """Workers that serve, warm standbys, and partitions that are served."""
    workers = [worker for worker in running.workers if worker.service == own.name]
    serving = [worker for worker in workers if worker.role == "active" and worker.state == "serving"]
    partitions = sum(len(owned_by(worker, own)) for worker in serving)
    return len(serving), sum(worker.state == "ready" for worker in workers), partitions


def _listens(broker: BrokerMetadata) -> bool:
    """Metadata name a dead broker for as long as nobody has missed it."""
    try:
        socket.create_connection((broker.host, broker.port), _KAFKA_S).close()
    except OSError:
        return False
    return True
