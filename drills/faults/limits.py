"""The base of faults that lower a limit of a live worker (prlimit), and raise it again."""

from __future__ import annotations

import contextlib
import resource
from dataclasses import replace

from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Process, Target
from drills.faults.process_handle import ProcessHandle
from drills.faults.running_system import RunningSystem
from drills.faults.workers import WorkerFault
from standfast.core.errors import DrillRejected


class LimitFault(WorkerFault):
    """Lowers one soft limit of a worker. The worker may live on with it, or end of it and be replaced.

    Its successor has the limits of the nursery, from which it is forked.
    """

    limit: int  # one of `resource.RLIMIT_…`
    unit = ""

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        super().__init__(system, aim)
        self._seen: int | None = None  # the soft limit that the kernel told right after it was set

    def lowered(self, pid: int) -> int:
        """The soft limit that leaves the process nothing more; raises OSError."""
        raise NotImplementedError

    def effect(self, soft: int) -> str:
        """What the process can do no more, in words."""
        raise NotImplementedError

    def choose(self) -> Target:
        """The worker, with its limits as they are."""
        (process,) = super().choose().processes
        try:
            soft, hard = resource.prlimit(process.pid, self.limit)
        except OSError as error:
            raise DrillRejected(f"the limits of {process.id} (process {process.pid}) cannot be read: {error}") from None
        self.target = replace(self.target, gone=(), before={"soft": soft, "hard": hard})
        return self.target

    def strike(self) -> None:
        """Lowers the limit; raises DrillRejected if the process has ended by itself."""
        (victim,) = self.held
        pid = victim.process.pid
        try:
            soft = self.lowered(pid)
            resource.prlimit(pid, self.limit, (soft, int(str(self.target.before["hard"]))))
        except (OSError, ValueError) as error:  # ValueError: above the hard limit
            raise DrillRejected(f"nothing was injected: the limit of process {pid} cannot be set: {error}") from None
        self._seen = _soft(victim, self.limit)

    def injected(self, within_s: float) -> Finding:  # noqa: ARG002 - the kernel was asked right after the limit was set
        """Whether the kernel says that the limit is lower than it was."""
        if self._seen is None:
            return Finding("unknown", f"{self.target.named} ended before its limit could be read")
        if not self._is_lower(self._seen):
            return Finding("failed", f"the limit of {self.target.named} is as it was")
        return Finding(
            "passed", f"{self.target.named} {self.effect(self._seen)}; it owned {list(self.target.partitions)}"
        )

    def undo(self) -> None:
        """Raises the limit again, if the process still exists."""
        before = (int(str(self.target.before["soft"])), int(str(self.target.before["hard"])))
        for handle in self.held:
            if not handle.dead_within(0):
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(handle.process.pid, self.limit, before)

    def undone(self) -> Finding:
        """Whether whoever serves has the limit of before, and as many standbys are ready."""
        for handle in self.held:
            soft = _soft(handle, self.limit)
            if soft is not None and soft != self.target.before["soft"]:
                return Finding(
                    "failed", f"{handle.process.id} (process {handle.process.pid}) still has the limit {soft}"
                )
        finding = super().undone()
        ended = all(handle.dead_within(0) for handle in self.held)
        fate = "it has ended of that and was replaced" if ended else "it lives on, with the limit of before"
        return Finding(finding.check, f"{finding.text}; {fate}")

    def may_serve(self, victim: Process, pid: int) -> bool:  # noqa: ARG002 - either may
        """Always True: the victim itself, if it lives on, or its successor."""
        return True

    def resume(self, target: Target) -> Finding:
        """`passed` if the limit is lower than before; `unknown` if not, because it may have been raised since."""
        super().resume(target)
        softs = [soft for handle in self.held if (soft := _soft(handle, self.limit)) is not None]
        if any(self._is_lower(soft) for soft in softs):
            return Finding("passed", f"{target.named} {self.effect(softs[0])}")
        return Finding("unknown", f"{target.named} has no lower limit now; whether it had nobody saw")

    def _is_lower(self, soft: int) -> bool:
        return soft != self.target.before["soft"]


def _soft(handle: ProcessHandle, limit: int) -> int | None:
    """The soft limit of the process; None if it has ended."""
    try:
        soft = resource.prlimit(handle.process.pid, limit)[0]
    except ProcessLookupError:
        return None
    return None if handle.dead_within(0) else soft
