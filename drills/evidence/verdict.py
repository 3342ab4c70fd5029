"""The verdict of a drill: was the fault injected, did the system hold, was the fault undone. Pure.

The verdict is the worst of these three answers: failed beats unknown, unknown beats passed. Without evidence an answer
is `unknown`, never `passed`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from drills.evidence.checker import Measured
from schemas.records import Check, Latency

MIN_SAMPLES: Final = 100  # of fewer answers the p99 is simply the slowest one
_BADNESS: Final[dict[Check, int]] = {"passed": 0, "unknown": 1, "failed": 2}


@dataclass(frozen=True, slots=True)
class Objectives:
    """The limits by which a drill judges the system."""

    rto_ms: float
    p99_ms: float
    duplicates_allowed: bool = False
    error_budget: float = 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement with its figure and its objective; `about`: of which figure, empty if of none of a history."""

    check: Check
    text: str
    about: str = ""

    @property
    def line(self) -> str:
        """The text of it in an event: `passed: 0 of 200 answers lost`."""
        return f"{self.check}: {self.text}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, the three answers it is the worst of, a score of 0 to 100, and the findings behind them."""

    verdict: Check
    injected: Check
    held: Check
    undone: Check
    score: float
    findings: tuple[str, ...]


def judge(
    injected: Finding, measured: Measured, undone: Finding, objectives: Objectives, expected: Iterable[Finding] = ()
) -> Judgement:
    """The judgement of one drill; `expected`: what became of its hypothesis.

    The score is the percentage of findings that passed; `unknown` does not count as passed. A lost or wrong answer, or
    a duplicate where exactly-once was promised, makes it 0.
    """
    held = (
        [*held_findings(measured, objectives), *expected]
        if injected.check == "passed"
        else [Finding("unknown", "whether the system holds was not shown, because the fault was not")]
    )
    findings = [injected, *held, undone]
    wrong = measured.wrong > 0
    doubled = measured.duplicated > 0 and not objectives.duplicates_allowed
    passed = sum(1 for finding in findings if finding.check == "passed")
    score = 0.0 if measured.lost or wrong or doubled else round(100 * passed / len(findings), 1)
    answers = (injected.check, worst(finding.check for finding in held), undone.check)
    return Judgement(
        verdict=worst(answers),
        injected=answers[0],
        held=answers[1],
        undone=answers[2],
        score=score,
        findings=tuple(finding.line for finding in findings),
    )


def together(findings: Iterable[Finding]) -> Finding:
    """One finding of several: the worst check, every text."""
    all_ = list(findings)
    return Finding(worst(finding.check for finding in all_), "; ".join(finding.text for finding in all_))


def worst(checks: Iterable[Check]) -> Check:
    """The worst check; unknown when there are none."""
    return max(checks, key=_BADNESS.__getitem__, default="unknown")


def held_findings(measured: Measured, objectives: Objectives) -> list[Finding]:
    """One finding for each promise of the drill."""
    return [
        replace(_lost(measured), about="lost"),
        replace(_duplicated(measured, objectives), about="duplicated"),
        _none_of(measured, measured.unexpected, "answers to requests that were never sent", "unexpected"),
        _none_of(measured, measured.out_of_order, "answers out of the order of their requests", "out_of_order"),
        *(replace(finding, about="wrong") for finding in _wrong(measured)),
        replace(_statuses(measured, objectives.error_budget), about="not_ok"),
        replace(_rto(measured, objectives), about="rto"),
        replace(_p99(measured.after, "after the recovery", objectives.p99_ms), about="late"),
    ]


def _lost(measured: Measured) -> Finding:
    text = f"{measured.lost} of {measured.acked} accepted requests lost (0 promised)"
    if measured.deleted:
        text += f"; {measured.deleted} more were deleted by the drill itself before they were read"
    if measured.lost:
        return Finding("failed", text)
    if not measured.acked:
        return Finding("unknown", "no request was accepted by Kafka, so nothing is known about lost answers")
    if measured.unacked:
        text += f"; {measured.unacked} more were never acknowledged by Kafka and prove nothing"
    return Finding("passed", text)


def _duplicated(measured: Measured, objectives: Objectives) -> Finding:
    if measured.duplicated and objectives.duplicates_allowed:
        return Finding(
            "passed", f"{measured.duplicated} answers seen more than once (allowed: delivery is at_least_once)"
        )
    finding = _none_of(measured, measured.duplicated, "answers seen more than once")
    if not measured.written_twice:
        return finding
    written_twice = f"{measured.written_twice} requests were written more than once by the drill's own producer"
    return Finding(finding.check, f"{finding.text}; {written_twice}, and each copy is to be answered")


def _none_of(measured: Measured, count: int, what: str, about: str = "") -> Finding:
    if count:
        return Finding("failed", f"{count} {what} (0 promised)", about)
    check: Check = "passed" if measured.answered else "unknown"
    return Finding(check, f"0 {what}, of {measured.answered} answered requests", about)


def _wrong(measured: Measured) -> list[Finding]:
    """No finding if no answer could be compared, as in histories written before requests recorded their `k`."""
    if not measured.compared:
        return []
    text = f"{measured.wrong} answers that cannot be to their requests (0 promised), of {measured.compared} compared"
    return [Finding("failed" if measured.wrong else "passed", text)]


def _statuses(measured: Measured, budget: float) -> Finding:
    if not measured.not_ok:
        check: Check = "passed" if measured.answered else "unknown"
        return Finding(check, f"all {measured.answered} answers have status ok")
    counts = ", ".join(f"{count} {status}" for status, count in sorted(measured.not_ok.items()))
    share, promised = sum(measured.not_ok.values()) / measured.answered, "0"
    if budget:
        promised = f"{budget:.2%} of {measured.answered} answers at most, {share:.2%} seen"
    text = f"answers that are not ok: {counts} ({promised} promised)"
    return Finding("passed" if share <= budget else "failed", text)


def _rto(measured: Measured, objectives: Objectives) -> Finding:
    if measured.rto_ms is None or measured.first_ms is None:
        check: Check = "failed" if measured.watched_ms >= objectives.rto_ms else "unknown"
        return Finding(
            check,
            f"not every partition of the victim answered again in the {measured.watched_ms:.0f} ms watched (objective "
            f"{objectives.rto_ms:g} ms)",
        )
    text = (
        f"every partition of the victim answered again {measured.rto_ms:.0f} ms after the fault, the first after "
        f"{measured.first_ms:.0f} ms (objective {objectives.rto_ms:g} ms)"
    )
    return Finding("passed" if measured.rto_ms <= objectives.rto_ms else "failed", text)


def _p99(latency: Latency, when: str, objective: float) -> Finding:
    if latency.p99_ms is None or latency.count < MIN_SAMPLES:
        return Finding(
            "unknown",
            f"{latency.count} answers {when} are too few for a p99 ({MIN_SAMPLES} needed): raise rate or after_s",
        )
    text = f"p99 {when} {latency.p99_ms:.0f} ms over {latency.count} answers (objective {objective:g} ms)"
    return Finding("passed" if latency.p99_ms <= objective else "failed", text)
