"""What all drills together may strike at once, and what needs a second name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from consumers.service import Service
from drills.faults.injector import Target
from drills.running.targets import active_workers
from standfast.core.errors import DrillRejected
from standfast.core.settings import DrillSettings
from standfast.core.status import SystemStatus


@dataclass(frozen=True, slots=True)
class Radius:
    """What would be struck at once: processes, hosts, and which share of a service's active workers."""

    processes: int
    share: float
    hosts: int


@dataclass(frozen=True, slots=True)
class Victims:
    """The target of one drill's first fault, and the host whose agent makes the fault."""

    host: str
    target: Target


def radius(victims: Iterable[Victims], status: SystemStatus, service: Service) -> Radius:
    """What these victims are together, and of the service's active workers on all hosts."""
    all_victims = list(victims)
    processes = {process for one_drill in all_victims for process in one_drill.target.processes}
    active = active_workers(status, service)
    struck = sum(1 for worker in active if any(process.id == worker.id for process in processes))
    hosts = {one_drill.host for one_drill in all_victims}
    return Radius(len(processes), struck / len(active) if active else float(bool(processes)), len(hosts))


def refuse_beyond(settings: DrillSettings, seen: Radius) -> None:
    """Raises DrillRejected if that is more than all drills together may strike."""
    if seen.share > settings.service_share:
        raise DrillRejected(
            f"{seen.share:.0%} of the service's workers would be struck at once, by this drill and those that run; the "
            f"setting drills.service_share is {settings.service_share:g}"
        )
    if settings.hosts is not None and seen.hosts > settings.hosts:
        raise DrillRejected(
            f"{seen.hosts} hosts would be struck at once, by this drill and those that run; the setting drills.hosts "
            f"is {settings.hosts}"
        )


def approval_needed(settings: DrillSettings, seen: Radius) -> str:
    """Why a second name must approve the drill; "" if it need not."""
    above = (
        ("processes", seen.processes, settings.approve_above_processes),
        ("share", seen.share, settings.approve_above_share),
        ("hosts", seen.hosts, settings.approve_above_hosts),
    )
    for name, value, most in above:
        if most is not None and value > most:
            return f"it strikes more than the setting drills.approve_above_{name} = {most:g} ({value:g})"
    return ""
