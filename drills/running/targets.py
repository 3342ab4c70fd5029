"""Who is there to be struck, by what the system says of itself, and what a drill must leave alone."""

from __future__ import annotations

import msgspec
import structlog

from consumers.service import Service
from standfast.core import status
from standfast.core.errors import DrillRejected
from standfast.core.status import SystemStatus, WorkerStatus

_ALIVE = ("ready", "serving")
_log = structlog.get_logger()


def system() -> SystemStatus | None:
    """What the system says of itself, None if there is none or it says nothing that can be read."""
    try:
        return status.read()
    except msgspec.MsgspecError as error:
        _log.warning("the system's status cannot be read", error=str(error))
        return None


def refuse_unless_ready(status: SystemStatus | None) -> None:
    """Raises DrillRejected for a system that is not whole: a drill would find out nothing about it."""
    if status is None:
        raise DrillRejected("no system runs on the drill runner's machine; start one: standfast up")
    if status.state != "ready":
        raise DrillRejected(f"the system is {status.state} ({status.detail or 'no detail'}); wait until it is ready")


def refuse_if_last(struck: set[str], standbys: int, status: SystemStatus, service: Service) -> None:
    """Raises DrillRejected if nobody could take over from the workers that are to be struck."""
    left = [worker for worker in active_workers(status, service) if worker.id not in struck]
    if struck and not left and not standbys:
        raise DrillRejected(
            f"{', '.join(sorted(struck))} is the only worker of {service.name} and no standby is ready; start one "
            f"more: STANDFAST_{service.name.upper()}__STANDBYS=1"
        )


def active_workers(status: SystemStatus, service: Service) -> list[WorkerStatus]:
    """The service's workers that answer, by id."""
    active = [one for one in _of(status, service) if one.role == "active" and one.state in _ALIVE]
    return sorted(active, key=lambda one: one.id)


def ready_standbys(status: SystemStatus, service: Service) -> int:
    """How many standbys of the service could take over now."""
    return sum(1 for one in _of(status, service) if one.role == "standby" and one.state in _ALIVE)


def owned_by(worker: WorkerStatus, service: Service) -> list[int]:
    """The partitions of the service's request topic that this worker owns."""
    return worker.partitions.get(service.requests, [])


def _of(status: SystemStatus, service: Service) -> list[WorkerStatus]:
    return [worker for worker in status.workers if worker.service == service.name]
