"""SIGKILL of a worker after it has written answers, and before it commits them: its successor computes them again.

What a read_committed reader sees then is what `workers.delivery` promises: each answer once, or some of them twice.
"""

from __future__ import annotations

import contextlib
import time
from signal import SIGCONT, SIGKILL, SIGSTOP

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from msgspec import structs

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.asking import TIMEOUT_S, admin, metadata_of
from drills.faults.injector import Kind, Process, Target
from drills.faults.workers import TARGETS, WorkerFault
from drills.params import Param
from standfast.core.errors import DrillRejected

_LOOKS = 3  # so often the same answers are seen uncommitted: another worker's would be committed by then
_BETWEEN_LOOKS_S = 0.03
_LEVELS = (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
_MOST_PAUSE_S = 0.02  # between two tries


class KillBeforeCommit(WorkerFault):
    """Stops the worker again and again, until answers of it wait for their commit, and kills it then."""

    name = "kill-before-commit"
    done = "was killed"
    _uncommitted = 0
    _killed_at = 0.0

    def inject(self) -> Fault:
        """Kills the worker; the fault begins with the signal that kills."""
        return structs.replace(super().inject(), at=self._killed_at)

    def strike(self) -> None:
        """Tries for `within_s`, then kills it all the same.

        A try that takes longer than `workers.hang_after_ms` may end with the supervisor's SIGKILL instead.
        """
        (victim,) = self.held
        kafka, results = admin(self.system), self.system.service.results
        places = [TopicPartition(results, number) for number in metadata_of(self.system).topics[results].partitions]
        deadline = time.monotonic() + float(self.aim.params["within_s"])
        victim.signal(SIGSTOP)
        with contextlib.suppress(DrillRejected):  # it has ended
            while not (uncommitted := _stuck(kafka, places)) and time.monotonic() < deadline:
                victim.signal(SIGCONT)
                time.sleep(_MOST_PAUSE_S * self.random.random())
                victim.signal(SIGSTOP)
            self._uncommitted = uncommitted
            victim.signal(SIGKILL)
        self._killed_at = time.monotonic()

    def injected(self, within_s: float) -> Finding:
        """Whether it has ended, and left answers without a commit."""
        ended = super().injected(within_s)
        if ended.check != "passed":
            return ended
        text = (
            f"{ended.text}, with {self._uncommitted} records in {self.system.service.results} that were not committed"
        )
        return Finding("passed" if self._uncommitted else "failed", text)

    def undo(self) -> None:
        """Sends SIGCONT, which matters only if this was killed between two tries."""
        for process in self.held:
            with contextlib.suppress(DrillRejected):
                process.signal(SIGCONT)

    def may_serve(self, victim: Process, pid: int) -> bool:
        """Whether it is another process, or the victim itself if that was not killed and goes on."""
        return pid != victim.pid or not any(process.is_stopped() for process in self.held)

    def resume(self, target: Target) -> Finding:
        """`unknown` unless the worker still runs: whether answers were uncommitted when it ended nobody saw."""
        found = super().resume(target)
        return Finding("failed" if self.held else "unknown", found.text)


def _stuck(kafka: AdminClient, places: list[TopicPartition]) -> int:
    """How many records lie in these partitions behind the same uncommitted ones at each of some looks; 0 if none do."""
    seen = _open(kafka, places)
    for _ in range(_LOOKS - 1):
        if not seen:
            return 0
        time.sleep(_BETWEEN_LOOKS_S)
        again = _open(kafka, places)
        seen = {place: lag for place, lag in again.items() if place in seen}
    return sum(seen.values())


def _open(kafka: AdminClient, places: list[TopicPartition]) -> dict[tuple[int, int], int]:
    """How many records a read_committed reader is not shown, by partition and offset of the first of them."""
    shown, all_ = (_ends(kafka, places, level) for level in _LEVELS)
    return {(number, end): all_[number] - end for number, end in shown.items() if end < all_[number]}


def _ends(kafka: AdminClient, places: list[TopicPartition], level: IsolationLevel) -> dict[int, int]:
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = kafka.list_offsets(dict.fromkeys(places, latest), isolation_level=level, request_timeout=TIMEOUT_S)
    return {place.partition: int(future.result(TIMEOUT_S).offset) for place, future in asked.items()}


KILL_BEFORE_COMMIT = Kind(
    "kill-before-commit",
    "SIGKILL of a worker with answers that are written and not committed",
    KillBeforeCommit,
    targets=TARGETS,
    params=(Param("within_s", 5.0, "so long a moment is looked for in which it has such answers", 0.1, 60),),
    figure=None,
)
