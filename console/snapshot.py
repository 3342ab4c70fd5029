"""What the console knows at one moment; every page and every update is drawn from one of these."""

from __future__ import annotations

import time
from dataclasses import dataclass

from drills.control.events import FINAL
from drills.reports.report import Story
from standfast.core.hosts.hosts_heard import HostSeen
from standfast.core.services import NAMES
from standfast.core.status import ServiceStatus, TakeoverStatus, WorkerStatus


@dataclass(frozen=True, slots=True)
class Held:
    """One process's time as the owner of a partition, in epoch milliseconds; `until` None: it owns it now."""

    owner: str
    since: int
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The system as the topics tell it.

    Args:
        number: of the snapshots of this process, 1 for the first.
        positions: the read position of each partition, as `status/0=17 drills.results/0=4`: the same positions, the
            same hosts, takeovers and drills.
        problem: why Kafka cannot be read; empty while it can.
        abreast_at: when all records so far were last known to be read, in monotonic seconds.
        hosts: by name.
        takeovers: host and takeover, the newest first.
        drills: the newest first.
        held: by partition of a request topic, the last owners, the oldest first.
    """

    number: int
    positions: str
    problem: str
    abreast_at: float
    hosts: tuple[HostSeen, ...] = ()
    takeovers: tuple[tuple[str, TakeoverStatus], ...] = ()
    drills: tuple[Story, ...] = ()
    held: tuple[tuple[tuple[str, int], tuple[Held, ...]], ...] = ()

    @property
    def age_s(self) -> float:
        """For how long nothing newer is known."""
        return time.monotonic() - self.abreast_at

    @property
    def living(self) -> tuple[HostSeen, ...]:
        """The hosts that are not gone."""
        return tuple(host for host in self.hosts if not host.gone)

    def workers(self, service: str) -> list[tuple[str, WorkerStatus]]:
        """Host and row of every worker and standby of a service, workers first."""
        rows = [(host.host, row) for host in self.living for row in host.status.workers if row.service == service]
        return sorted(rows, key=lambda pair: (pair[1].role, pair[1].id))

    def services(self) -> dict[str, list[ServiceStatus]]:
        """Each service, in the order of lists, with what every host says of it."""
        found: dict[str, list[ServiceStatus]] = {}
        for host in self.living:
            for service in host.status.services:
                found.setdefault(service.name, []).append(service)
        order = {name: rank for rank, name in enumerate(NAMES)}
        return dict(sorted(found.items(), key=lambda pair: (order.get(pair[0], len(order)), pair[0])))

    def drill(self, drill_id: str) -> Story | None:
        """The last drill of that id."""
        return next((story for story in self.drills if story.drill_id == drill_id), None)

    def running_drills(self) -> list[Story]:
        """Drills without a final event, of those that may still run."""
        return [story for story in self.drills if story.last.phase not in FINAL]
