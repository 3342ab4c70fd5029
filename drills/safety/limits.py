"""What all drills together may strike at once, and what needs a second name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drills.faults.injector import Target
from drills.faults.running_system import RunningSystem
from drills.running.targets import active_workers
from standfast.core.errors import DrillRejected
from standfast.core.settings import DrillSettings


@dataclass(frozen=True, slots=True)
class Radius:
    """What would be struck at once: processes, hosts, and which share of a service's active workers."""

    processes: int
    share: float
    hosts: int


def radius(targets: Iterable[Target], system: RunningSystem) -> Radius:
    """What these targets are together, and of the workers of this system's service."""
    status = system.status()
    processes = {process for target in targets for process in target.processes}
    active = active_workers(status, system.service)
    struck = sum(1 for worker in active if any(process.id == worker.id for process in processes))
    hosts = {process.id.rpartition("/")[0] for process in processes}  # "" for this host
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
