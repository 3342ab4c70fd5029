"""Which worker a drill strikes, chosen from what the system says of itself; the same seed chooses the same one."""

from __future__ import annotations

import random
from dataclasses import dataclass

import msgspec
import structlog

from consumers.service import Service
from drills.plan import Plan
from schemas.records import Scalar
from standfast import status
from standfast.errors import DrillRejected
from standfast.status import SystemStatus, WorkerStatus

_ALIVE = ("ready", "serving")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Target:
    """One worker, and how many standbys its service had ready when it was chosen."""

    worker: str
    pid: int
    partitions: tuple[int, ...]
    standbys: int

    def shown(self, topic: str) -> dict[str, Scalar]:
        """What the outcome stream says of it."""
        listed = ",".join(map(str, self.partitions))
        return {"worker": self.worker, "pid": self.pid, "topic": topic, "partitions": listed}


def system() -> SystemStatus | None:
    """What the system says of itself, None if there is none or it says nothing that can be read."""
    try:
        return status.read()
    except msgspec.MsgspecError as error:
        _log.warning("the system's status cannot be read", error=str(error))
        return None


def choose(status: SystemStatus | None, plan: Plan, service: Service) -> Target:
    """The worker to strike; raises DrillRejected if there is none, or nobody who could take over from it."""
    if status is None:
        raise DrillRejected("no system runs on the drill runner's machine; start one: standfast up")
    if status.state != "ready":
        raise DrillRejected(f"the system is {status.state} ({status.detail or 'no detail'}); wait until it is ready")
    active = active_workers(status, service)
    standbys = ready_standbys(status, service)
    if not active:
        raise DrillRejected(f"no worker of {service.name} is active; see: standfast status")
    victim = _asked_for(active, plan, service) or _busiest(active, plan, service)
    owned = owned_by(victim, service)
    if not owned:
        raise DrillRejected(
            f"{victim.id} owns no partition of {service.requests}: killing it would show nothing; choose another"
        )
    if not standbys and len(active) < 2:
        raise DrillRejected(
            f"{victim.id} is the only worker of {service.name} and no standby is ready; start one more: "
            f"STANDFAST_{service.name.upper()}__STANDBYS=1"
        )
    return Target(victim.id, victim.pid, tuple(sorted(owned)), standbys)


def active_workers(status: SystemStatus, service: Service) -> list[WorkerStatus]:
    """The service's workers that answer, by id."""
    found = [one for one in _of(status, service) if one.role == "active" and one.state in _ALIVE]
    return sorted(found, key=lambda one: one.id)


def ready_standbys(status: SystemStatus, service: Service) -> int:
    """How many standbys of the service could take over now."""
    return sum(1 for one in _of(status, service) if one.role == "standby" and one.state in _ALIVE)


def owned_by(worker: WorkerStatus, service: Service) -> list[int]:
    """The partitions of the service's request topic that this worker owns."""
    return worker.partitions.get(service.requests, [])


def _of(status: SystemStatus, service: Service) -> list[WorkerStatus]:
    return [one for one in status.workers if one.service == service.name]


def _asked_for(active: list[WorkerStatus], plan: Plan, service: Service) -> WorkerStatus | None:
    if "worker" in plan.target:
        wanted = plan.target["worker"]
        named = [one for one in active if one.id == wanted]
        if not named:
            there = ", ".join(one.id for one in active)
            raise DrillRejected(f"{wanted} is no active worker of {service.name}; there are: {there}")
        return named[0]
    if "partition" in plan.target:
        partition = plan.target["partition"]
        owners = [one for one in active if partition in owned_by(one, service)]
        if not owners:
            raise DrillRejected(f"no active worker owns partition {partition} of {service.requests}")
        return owners[0]
    return None


def _busiest(active: list[WorkerStatus], plan: Plan, service: Service) -> WorkerStatus:
    most = max(len(owned_by(one, service)) for one in active)
    return random.Random(plan.seed).choice([one for one in active if len(owned_by(one, service)) == most])
