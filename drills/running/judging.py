"""The last event of a drill that ran to its end: the verdict, and every figure that it rests on."""

from __future__ import annotations

from collections.abc import Mapping

from drills.control.events import event_of
from drills.evidence.checker import measure
from drills.evidence.history import History
from drills.evidence.verdict import Finding, judge
from drills.running.plan import Plan
from schemas.records import Check, DrillEvent, Scalar


def judged(
    plan: Plan,
    target: Mapping[str, Scalar] | None,
    struck: Finding,
    undone: Finding,
    history: History,
    broken: str | None,
) -> DrillEvent:
    """The event `completed`. `broken`: why the load stopped, if it did; its history is no proof that all was well."""
    seen = measure(history)
    judgement = judge(struck, seen, undone, plan.objectives)
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
        rto_ms=rounded(seen.rto_ms),
        lost=seen.lost,
        duplicated=seen.duplicated,
        out_of_order=seen.out_of_order,
        latency_before=seen.before,
        latency_during=seen.during,
        latency_after=seen.after,
        score=judgement.score,
        findings=findings,
    )


def rounded(ms: float | None) -> float | None:
    """Milliseconds as events give them."""
    return None if ms is None else round(ms, 1)
