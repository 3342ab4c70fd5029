"""The hosts of the system that is drilled: this machine's by its status file, others by the topic `status`."""

from __future__ import annotations

import random
from collections.abc import Mapping

import msgspec

from consumers.service import Service
from drills.running.targets import active_workers, owned_by, read_status
from schemas.records import Scalar
from standfast.core.hosts.host_key import host_key
from standfast.core.hosts.host_statuses import HostSeen, HostStatuses
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus


class Hosts:
    """Call `update` at least once a second from one thread; the other methods may be called from any."""

    def __init__(self, settings: Settings) -> None:
        self._own = host_key(settings)
        self._reader = HostStatuses(settings)
        self._seen: list[HostSeen] = []

    def update(self) -> None:
        """Reads what the hosts have written since."""
        self._reader.update(0.0)
        self._seen = self._reader.hosts()

    def is_settled(self) -> bool:
        """Whether it is known of every host whether it lives; before that, `statuses` may miss some."""
        return self._reader.is_settled()

    def statuses(self) -> dict[str, SystemStatus]:
        """The status of each living host, by its key; that of this machine as it is at this moment."""
        statuses = {seen.host: seen.status for seen in self._seen if not seen.gone and seen.host != self._own}
        own = read_status()
        if own is not None:
            statuses[own.host or self._own] = own
        return dict(sorted(statuses.items()))

    def candidates(self, service: Service, target: Mapping[str, Scalar], seed: int) -> list[str]:
        """The hosts that may have the target, the likeliest first; the same seed gives the same order."""
        statuses = self.statuses()
        hosts = list(statuses)
        random.Random(seed).shuffle(hosts)
        if "host" in target:
            named = str(target["host"])
            return [host for host in hosts if named in {host, host.rpartition("-")[0]}]
        return sorted(hosts, key=lambda host: not _has(statuses[host], service, target))

    def close(self) -> None:
        """Ends the connection."""
        self._reader.close()


def _has(status: SystemStatus, service: Service, target: Mapping[str, Scalar]) -> bool:
    """Whether the host has the worker or the owner of the partition; without either, any worker of the service."""
    workers = active_workers(status, service)
    if "worker" in target:
        return any(worker.id == target["worker"] for worker in workers)
    if "partition" in target:
        return any(target["partition"] in owned_by(worker, service) for worker in workers)
    return any(owned_by(worker, service) for worker in workers)


def merged(statuses: Mapping[str, SystemStatus]) -> SystemStatus | None:
    """One status of all hosts; its state is the first that is not `ready`. None if there is no host."""
    if not statuses:
        return None
    worst = next((status for status in statuses.values() if status.state != "ready"), None)
    first = worst or next(iter(statuses.values()))
    return msgspec.structs.replace(
        first,
        workers=[worker for status in statuses.values() for worker in status.workers],
        roles=[role for status in statuses.values() for role in status.roles],
    )
