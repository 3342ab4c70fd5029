"""The final event of a drill that ran to its end: the verdict and the figures behind it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from drills.control.events import event_of
from drills.evidence.checker import measure
from drills.evidence.history import History
from drills.evidence.probes import HistoryView
from drills.evidence.terms import Terms, verdict_fields
from drills.running.plan import Plan
from schemas.records import DrillEvent, Scalar


def judged(plan: Plan, target: Mapping[str, Scalar] | None, terms: Terms, history: History) -> DrillEvent:
    """The event `completed`."""
    measured = measure(history)
    expected = [expectation.finding(HistoryView(history, measured)) for expectation in terms.hypothesis]
    fields = msgspec.structs.asdict(verdict_fields(terms, measured, expected))
    return event_of(plan, "completed", target=target, **fields)
