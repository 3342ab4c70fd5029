"""What a verdict rests on beside the history, and the verdict from both: so it can be computed anew by anyone. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from drills.evidence.checker import Measured
from drills.evidence.hypothesis import Expectation
from drills.evidence.verdict import Finding, Objectives, judge
from schemas.records import Check, Latency


class Terms(Struct, frozen=True, omit_defaults=True):
    """What was promised, and what was seen beside the answers.

    Args:
        objectives: the limits.
        injected: whether the fault was seen to strike.
        undone: whether nothing was left of it.
        hypothesis: what else was expected.
        broken: why the drill's load failed, or None; if it failed, the verdict is never `passed`.
        responses: how the system met faults, where only the fault could tell, as with damage that no answer shows.
    """

    objectives: Objectives
    injected: Finding
    undone: Finding
    hypothesis: tuple[Expectation, ...] = ()
    broken: str | None = None
    responses: tuple[Finding, ...] = ()


class VerdictFields(Struct, frozen=True):
    """The fields of a drill's final event that follow from its history and its terms, named as there."""

    verdict: Check
    injected: Check
    held: Check
    undone: Check
    rto_ms: float | None
    lost: int
    duplicated: int
    out_of_order: int
    latency_before: Latency
    latency_during: Latency
    latency_after: Latency
    score: float
    findings: list[str]


def verdict_fields(terms: Terms, measured: Measured, expected: Iterable[Finding]) -> VerdictFields:
    """Those fields; `expected`: what became of the hypothesis."""
    judgement = judge(terms.injected, measured, terms.undone, terms.objectives, [*expected, *terms.responses])
    broken = terms.broken
    return VerdictFields(
        verdict="unknown" if broken and judgement.verdict == "passed" else judgement.verdict,
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
        findings=[*judgement.findings, *([f"unknown: the drill's load failed ({broken})"] if broken else ())],
    )


def rounded(ms: float | None) -> float | None:
    """Milliseconds with one decimal, as in events."""
    return None if ms is None else round(ms, 1)
