"""The final event of a drill that ran to its end: the verdict and the figures behind it."""

from __future__ import annotations

from collections.abc import Mapping

from drills.control.events import event_of
from drills.evidence.checker import measure
from drills.evidence.history import History
from drills.evidence.probes import HistoryView
from drills.evidence.verdict import Finding, judge
from drills.running.plan import Plan
from schemas.records import Check, DrillEvent, Scalar


def judged(
    plan: Plan,
    target: Mapping[str, Scalar] | None,
    injection: Finding,
    undone: Finding,
    history: History,
    broken: str | None,
) -> DrillEvent:
    """The event `completed`. `broken`: why the load failed, or None; if it failed, the verdict is never `passed`."""
    measured = measure(history)
    expected = [expectation.finding(HistoryView(history, measured)) for expectation in plan.hypothesis]
    judgement = judge(injection, measured, undone, plan.objectives, expected)
    verdict: Check = "unknown" if broken and judgement.verdict == "passed" else judgement.verdict
    findings = [*judgement.findings, *([f"unknown: the drill's load failed ({broken})"] if broken else ())]
    return event_of(
        plan,
        "completed",
        target=target,
        verdict=verdict,
        injected=judgement.injected,
        held=judgement.held,
        undone=judgement.undone,
        rto_ms=rounded(measured.rto_ms),
        lost=measured.lost,
        duplicated=measured.duplicated,
        out_of_order=measured.out_of_order,
        latency_before=measured.before,
        latency_during=measured.during,
        latency_after=measured.after,
        score=judgement.score,
        findings=findings,
    )


def rounded(ms: float | None) -> float | None:
    """Milliseconds with one decimal, as in events."""
    return None if ms is None else round(ms, 1)
