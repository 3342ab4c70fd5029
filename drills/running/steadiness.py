"""Whether a system is steady enough to be struck: broken before, a drill would find nothing out."""

from __future__ import annotations

from drills.evidence.checker import Measured
from drills.evidence.verdict import Objectives
from standfast.core.errors import DrillRejected


def refuse_if_unsteady(seen: Measured, unanswered: int, objectives: Objectives) -> None:
    """Raises DrillRejected with all that is wrong already."""
    slow = seen.before.p99_ms is not None and seen.before.p99_ms > objectives.p99_ms
    wrong = [
        f"{unanswered} of {seen.sent} requests unanswered" if unanswered else "",
        f"{seen.unacked} requests not accepted by Kafka" if not seen.acked else "",
        f"answers that are not ok: {seen.not_ok}" if seen.not_ok else "",
        f"{seen.duplicated} answers doubled" if seen.duplicated and not objectives.duplicates_allowed else "",
        f"{seen.out_of_order} answers out of order" if seen.out_of_order else "",
        f"{seen.wrong} answers that cannot be to their requests" if seen.wrong else "",
        f"p99 {seen.before.p99_ms:.0f} ms (objective {objectives.p99_ms:g} ms)" if slow else "",
    ]
    if any(wrong):
        raise DrillRejected(
            f"the steady state is already broken, so nothing was injected: {'; '.join(filter(None, wrong))}. "
            "Look at `standfast status` and the workers' logs first"
        )
