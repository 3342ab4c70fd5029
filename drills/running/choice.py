"""The choice of a drill's victims, rejected if nothing could take over from them or they exceed the drill's limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from consumers.service import Service
from drills.catalogue.definition import LimitsPart
from drills.faults.injector import Injector, Process, Target
from drills.faults.local_system import ancestors
from drills.faults.process_handle import start_time
from drills.running.hosts import merged
from drills.running.targets import active_workers, refuse_if_last, refuse_unless_ready
from standfast.core.errors import ClusterError, DrillRejected
from standfast.core.status import SystemStatus

Statuses = Callable[[], Mapping[str, SystemStatus]]  # the status of each host as it is now


def chosen(
    injector: Injector,
    service: Service,
    statuses: Statuses,
    limits: LimitsPart,
    still_struck: Sequence[Target] = (),
) -> Target:
    """The victims; raises DrillRejected if there are none, nothing could take over, or the limits are exceeded.

    `still_struck`: the victims of this drill's earlier faults that still last. The system need not be whole then.
    """
    if not still_struck:
        refuse_unless_ready(merged(_of_service(statuses(), service)))
    try:
        target = injector.choose()
        _refuse_if_it_ends_the_runner(target)
    except ClusterError as error:
        raise DrillRejected(f"nothing was injected: {error}") from None
    status = whole(statuses())
    workers = {worker.id for victims in (target, *still_struck) for worker in _workers(victims)}
    if not limits.last_replica:
        refuse_if_last(workers, target.standbys, status, service)
    _refuse_beyond(limits, workers, (target, *still_struck), status, service)
    return target


def whole(statuses: Mapping[str, SystemStatus]) -> SystemStatus:
    """The status of all hosts together; raises DrillRejected if there is none."""
    status = merged(statuses)
    if status is None:
        raise DrillRejected("nothing was injected: the system is gone; see `standfast status`")
    return status


def _of_service(statuses: Mapping[str, SystemStatus], service: Service) -> Mapping[str, SystemStatus]:
    """The hosts that run workers of the service, or all if none does."""
    serving = {
        host: status
        for host, status in statuses.items()
        if any(worker.service == service.name for worker in status.workers)
    }
    return serving or statuses


def _refuse_if_it_ends_the_runner(target: Target) -> None:
    """Raises DrillRejected if this process runs below the supervisor that is to be killed: nobody would judge."""
    if target.what in {"supervisor", "host"} and any(
        process.pid in ancestors() and process.started == start_time(process.pid) for process in target.processes
    ):
        raise DrillRejected(
            f"this drill runner would die with {target.named}, and the drill with it; run one elsewhere: `standfast "
            "drills` on its own, or the runner of a second host"
        )


def _workers(target: Target) -> tuple[Process, ...]:
    return target.processes[: len(target.hit)] if target.what == "worker" else ()


def _refuse_beyond(
    limits: LimitsPart, workers: set[str], targets: Sequence[Target], status: SystemStatus, service: Service
) -> None:
    """Raises DrillRejected if more processes, or a larger share of the service's workers, are struck than allowed."""
    processes = sum(len(target.processes) for target in targets)
    if limits.processes is not None and processes > limits.processes:
        raise DrillRejected(
            f"{processes} processes would be struck at once; the drill's limits.processes is {limits.processes}"
        )
    active = len(active_workers(status, service)) or len(workers)
    if limits.share is not None and workers and len(workers) / active > limits.share:
        raise DrillRejected(
            f"{len(workers)} of {active} workers of {service.name} would be struck at once; the drill's "
            f"limits.share is {limits.share:g}"
        )
