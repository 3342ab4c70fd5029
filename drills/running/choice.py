"""The choice of a drill's victims, rejected if nothing could take over from them."""

from __future__ import annotations

from consumers.service import service
from drills.faults.injector import Injector, Target
from drills.faults.running_system import RunningSystem
from drills.running.plan import Plan
from drills.running.targets import read_status, refuse_if_last, refuse_unless_ready
from standfast.core.errors import ClusterError, DrillRejected
from standfast.core.settings import Settings


def system_of(plan: Plan, settings: Settings) -> RunningSystem:
    """The running system and the service that the drill's fault strikes."""
    return RunningSystem(settings, service(plan.service, settings))


def chosen(injector: Injector, system: RunningSystem) -> Target:
    """The victims; raises DrillRejected if there are none, or if nothing could take over from them."""
    refuse_unless_ready(read_status())
    try:
        target = injector.choose()
        workers = target.processes[: len(target.hit)] if target.what == "worker" else ()
        refuse_if_last({worker.id for worker in workers}, target.standbys, system.status(), system.service)
    except ClusterError as error:
        raise DrillRejected(f"nothing was injected: {error}") from None
    return target
