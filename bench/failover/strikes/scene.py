"""Where a strike happens, and what is known of it afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from bench.own_place import OwnPlace
from consumers.service import Service
from drills.targets import active_workers, owned_by
from standfast import status
from standfast.errors import ClusterError
from standfast.settings import Settings
from standfast.status import SystemStatus, WorkerStatus

Partitions = frozenset[int]


@dataclass(frozen=True, slots=True)
class Scene:
    """The system that is struck. `place` is None for one that the benchmark did not start itself."""

    settings: Settings
    service: Service
    place: OwnPlace | None = None

    def status(self) -> SystemStatus:
        """What it says of itself; raises ClusterError if nothing runs."""
        found = status.read()
        if found is None:
            raise ClusterError("the system is gone; see `standfast status`")
        return found

    def workers(self) -> list[WorkerStatus]:
        """The service's workers that have partitions, by id."""
        return [one for one in active_workers(self.status(), self.service) if self.partitions(one)]

    def standbys(self) -> list[WorkerStatus]:
        """Its warm standbys."""
        rows = self.status().workers
        return [one for one in rows if one.group == self.service.group and one.state == "ready"]

    def partitions(self, worker: WorkerStatus) -> Partitions:
        """The request partitions of a worker."""
        return frozenset(owned_by(worker, self.service))


@dataclass(frozen=True, slots=True)
class Struck:
    """One strike, in seconds of the monotonic clock.

    Args:
        at: when it was done.
        since: from when its figure runs; `at` for nearly all.
        written_after_ms: an answer whose own timestamp (epoch ms) is later was not written by any victim.
        victims: for each of them the request partitions that it served.
        gone: processes that must have left the status before the system counts as whole.
    """

    at: float
    since: float
    written_after_ms: int
    victims: tuple[Partitions, ...]
    gone: frozenset[int]


def pids(running: SystemStatus) -> frozenset[int]:
    """Every process that the status names."""
    workers, roles = (one.pid for one in running.workers), (one.pid for one in running.roles)
    return frozenset([running.supervisor_pid, *workers, *roles]) - {0}


def struck(victims: Iterable[Partitions], gone: Iterable[int], at: float) -> Struck:
    """A strike that was done since `at`; call it right after the last signal was sent.

    A process may go on for some microseconds after SIGKILL: the millisecond in hand and the next are still its own,
    and nobody takes over as soon as that.
    """
    return Struck(at, at, int(time.time() * 1000) + 1, tuple(victims), frozenset(gone))
