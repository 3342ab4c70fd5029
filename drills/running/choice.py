"""Whom a drill strikes: what its fault has chosen, if the system can bear it."""

from __future__ import annotations

from consumers.service import service
from drills.faults.injector import Injector, Target
from drills.faults.running_system import RunningSystem
from drills.running.plan import Plan
from drills.running.targets import refuse_if_last, refuse_unless_ready, system
from standfast.core.errors import ClusterError, DrillRejected
from standfast.core.settings import Settings


def scene_of(plan: Plan, settings: Settings) -> RunningSystem:
    """Where the drill's fault is made."""
    return RunningSystem(settings, service(plan.service, settings))


def chosen(injector: Injector, scene: RunningSystem) -> Target:
    """Who is struck; raises DrillRejected if there is nobody, or nobody who could take over."""
    running = system()
    refuse_unless_ready(running)
    try:
        target = injector.choose()
        workers = target.processes[: len(target.hit)] if target.what == "worker" else ()
        refuse_if_last({worker.id for worker in workers}, target.standbys, scene.status(), scene.service)
    except ClusterError as error:
        raise DrillRejected(f"nothing was injected: {error}") from None
    return target
