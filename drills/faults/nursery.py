"""SIGKILL of a nursery: the process that holds a service's model, and from which its workers are forked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from consumers.process.nursery import process_name
from drills.evidence.verdict import Finding
from drills.faults.injector import Kind, Target
from drills.faults.one_process import OneProcessFault
from drills.running.targets import ready_standbys
from standfast.core.errors import ClusterError, DrillRejected
from standfast.core.processes.proc_stat import proc_stat

_NAME = 15  # the longest name of a process


class KillNursery(OneProcessFault):
    """Kills the nursery of the service."""

    name = "nursery"
    what = "nursery"

    def victim(self) -> tuple[str, int]:
        """The nursery; raises DrillRejected if there is none, or two while the model is being changed."""
        service = self.system.service.name
        found = list(nurseries(self.system.status().supervisor_pid, service))
        if len(found) != 1:
            raise DrillRejected(
                f"{service} has {len(found)} nurseries, and one is to be killed; wait until no model is being changed"
            )
        return f"{service}-nursery", found[0]

    def choose(self) -> Target:
        """The nursery, with the number of workers and standbys."""
        before = self._processes()
        target = super().choose()
        self.target = Target(target.what, target.processes, target.hit, target.gone, before[1], {"workers": before[0]})
        return self.target

    def undone(self) -> Finding:
        """Whether another nursery runs, and as many workers and standbys do as before."""
        (victim,) = self.target.processes
        try:
            now = list(nurseries(self.system.status().supervisor_pid, self.system.service.name))
            workers, standbys = self._processes()
        except ClusterError as error:
            return Finding("unknown", f"whether {victim.id} is back is not known: {error}")
        if not now or (victim.pid in now and not self.is_spared):
            return Finding("failed", f"{victim.id} was not started again")
        wanted = int(str(self.target.before.get("workers", 0)))
        text = f"{victim.id} runs again as process {now[0]}; workers: {workers} of {wanted}, standbys ready: {standbys}"
        is_whole = workers >= wanted and standbys >= self.target.standbys
        return Finding("passed" if is_whole else "failed", f"{text} ({self.target.standbys} before)")

    def _processes(self) -> tuple[int, int]:
        return len(self.system.workers()), ready_standbys(self.system.status(), self.system.service)


def nurseries(supervisor: int, service: str) -> Iterator[int]:
    """The pids of the supervisor's children that are nurseries of the service, by the name that the kernel shows."""
    name = process_name(service)[:_NAME]
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            process = proc_stat(int(folder.name))
            is_child = process.parent == supervisor and process.state not in {"Z", "X"}  # an ended one keeps its name
            if is_child and (folder / "comm").read_text().rstrip() == name:
                yield int(folder.name)
        except (OSError, ValueError):  # it has just ended
            continue


NURSERY = Kind("nursery", "SIGKILL of the process that holds the model", KillNursery)
