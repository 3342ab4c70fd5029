"""The workers and standbys of the running system, by its status, and the systems that no drill may strike."""

from __future__ import annotations

import msgspec
import structlog

from consumers.service import Service
from standfast.core import status
from standfast.core.errors import DrillRejected
from standfast.core.status import SystemStatus, WorkerStatus

_ALIVE = ("ready", "serving")
_log = structlog.get_logger()


def read_status() -> SystemStatus | None:
    """The system's status; None if none runs or its status file cannot be read."""
    try:
        return status.read()
    except msgspec.MsgspecError as error:
        _log.warning("the system's status cannot be read", error=str(error))
        return None


def refuse_unless_ready(status: SystemStatus | None) -> None:
    """Raises DrillRejected if the system is not ready: a drill would prove nothing."""
    if status is None:
        raise DrillRejected("no system runs: no host writes its status; start one: standfast up")
    if status.state != "ready":
        raise DrillRejected(f"the system is {status.state} ({status.detail or 'no detail'}); wait until it is ready")


def refuse_if_last(struck: set[str], standbys: int, status: SystemStatus, service: Service) -> None:
    """Raises DrillRejected if no other worker and no standby could take over from the workers `struck`."""
    others = [worker for worker in active_workers(status, service) if worker.id not in struck]
    if struck and not others and not standbys:
        raise DrillRejected(
            f"{', '.join(sorted(struck))} is the only worker of {service.name} and no standby is ready; start one "
            f"more: STANDFAST_{service.name.upper()}__STANDBYS=1"
        )


def active_workers(status: SystemStatus, service: Service) -> list[WorkerStatus]:
    """The service's active workers, sorted by id."""
    active = [worker for worker in _of(status, service) if worker.role == "active" and worker.state in _ALIVE]
    return sorted(active, key=lambda worker: worker.id)


def ready_standbys(status: SystemStatus, service: Service) -> int:
    """How many standbys of the service are ready to take over."""
    return sum(1 for worker in _of(status, service) if worker.role == "standby" and worker.state in _ALIVE)


def owned_by(worker: WorkerStatus, service: Service) -> list[int]:
    """The partitions of the service's request topic that this worker owns."""
    return worker.partitions.get(service.requests, [])


def _of(status: SystemStatus, service: Service) -> list[WorkerStatus]:
    return [worker for worker in status.workers if worker.service == service.name]
