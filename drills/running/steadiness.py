"""The check of the steady state before a fault: a drill on a system that is already broken would prove nothing."""

from __future__ import annotations

from drills.evidence.checker import Measured
from drills.evidence.verdict import Objectives
from standfast.core.errors import DrillRejected


def refuse_if_unsteady(measured: Measured, unanswered: int, objectives: Objectives) -> None:
    """Raises DrillRejected, listing everything that is wrong before the fault."""
    slow = measured.before.p99_ms is not None and measured.before.p99_ms > objectives.p99_ms
    problems = [
        f"{unanswered} of {measured.sent} requests unanswered" if unanswered else "",
        f"{measured.unacked} requests not accepted by Kafka" if not measured.acked else "",
        f"answers that are not ok: {measured.not_ok}" if measured.not_ok else "",
        f"{measured.duplicated} answers doubled" if measured.duplicated and not objectives.duplicates_allowed else "",
        f"{measured.out_of_order} answers out of order" if measured.out_of_order else "",
        f"{measured.wrong} answers that cannot be to their requests" if measured.wrong else "",
        f"p99 {measured.before.p99_ms:.0f} ms (objective {objectives.p99_ms:g} ms)" if slow else "",
    ]
    if any(problems):
        raise DrillRejected(
            f"the steady state is already broken, so nothing was injected: {'; '.join(filter(None, problems))}. "
            "Look at `standfast status` and the workers' logs first"
        )
