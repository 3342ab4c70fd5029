"""The check that a system is at full strength again after a fault: all processes are back, the killed ones gone."""

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

_PATIENCE_S = 90.0  # until full strength
_POLL_S = 0.05
_KAFKA_S = 5.0  # of one request to Kafka


class FullStrength:
    """Full strength: as many workers, standbys and brokers as at construction, and every partition served."""

    def __init__(self, system: RunningSystem) -> None:
        self._system = system
        self._service = system.service
        self._admin = AdminClient(clients.base(system.settings, "standfast-bench"))
        roles = [worker.role for worker in system.status().workers if worker.group == system.service.group]
        metadata = self._admin.list_topics(timeout=_KAFKA_S)
        partitions = len(metadata.topics[system.service.requests].partitions)
        self._wanted = roles.count("active"), roles.count("standby"), partitions
        self._brokers = len(metadata.brokers)

    def wait(self, gone: Iterable[int] = ()) -> float:
        """Waits for full strength without the pids `gone`; returns when (monotonic). ClusterError after 90 s."""
        dead = frozenset(gone)
        deadline = time.monotonic() + _PATIENCE_S
        while not (self._is_whole(dead) and self._has_its_brokers()):
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"{self._service.name} did not come back to full strength in {_PATIENCE_S:.0f} s; "
                    "see `standfast status`"
                )
            time.sleep(_POLL_S)
        return time.monotonic()

    def _is_whole(self, dead: frozenset[int]) -> bool:
        try:
            status = self._system.status()
        except ClusterError:  # nothing runs yet
            return False
        if dead & pids(status):
            return False
        strength = _strength(status, self._service)
        return all(have >= wanted for have, wanted in zip(strength, self._wanted, strict=True))

    def _has_its_brokers(self) -> bool:
        """Whether each broker accepts connections and all its replicas are in sync."""
        try:
            metadata = self._admin.list_topics(timeout=_KAFKA_S)
        except KafkaException:
            return False
        return (
            in_sync(metadata)
            and len(metadata.brokers) == self._brokers
            and all(map(_listens, metadata.brokers.values()))
        )


def _strength(status: SystemStatus, service: Service) -> tuple[int, int, int]:
    """The numbers of serving workers, of ready standbys, and of partitions that are served."""
    workers = [worker for worker in status.workers if worker.service == service.name]
    serving = [worker for worker in workers if worker.role == "active" and worker.state == "serving"]
    partitions = sum(len(owned_by(worker, service)) for worker in serving)
    return len(serving), sum(worker.state == "ready" for worker in workers), partitions


def _listens(broker: BrokerMetadata) -> bool:
    """Whether the broker accepts a connection: metadata list a dead broker until its session expires."""
    try:
        socket.create_connection((broker.host, broker.port), _KAFKA_S).close()
    except OSError:
        return False
    return True
