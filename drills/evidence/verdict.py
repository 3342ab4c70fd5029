"""The judgement: was the fault injected, did the system hold, was it undone. Pure.

Three answers, kept apart, and the worst of them is the verdict: failed beats unknown beats passed, and no evidence is
`unknown`, never `passed`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from drills.evidence.checker import Measured
from schemas.records import Check, Latency

MIN_SAMPLES: Final = 100  # below that a p99 is the slowest answer, whatever it was
_BADNESS: Final[dict[Check, int]] = {"passed": 0, "unknown": 1, "failed": 2}


@dataclass(frozen=True, slots=True)
class Objectives:
    """What the drill holds the system to."""

    rto_ms: float
    p99_ms: float
    duplicates_allowed: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One plain sentence with its number and its objective."""

    check: Check
    text: str

    @property
    def line(self) -> str:
        """As it stands in an event: `passed: 0 of 200 answers lost`."""
        return f"{self.check}: {self.text}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The three answers, the worst of them, a score of 0 to 100 and what it all rests on."""

    verdict: Check
    injected: Check
    held: Check
    undone: Check
    score: float
    findings: tuple[str, ...]


def judge(injected: Finding, measured: Measured, undone: Finding, objectives: Objectives) -> Judgement:
    """The judgement of one drill.

    The score is the share of findings that passed; unknown ones count as not passed, and an answer that is lost or
    wrong, or doubled where once was promised, makes it 0.
    """
    held = (
        held_findings(measured, objectives)
        if injected.check == "passed"
        else [Finding("unknown", "whether the system holds was not shown, because the fault was not")]
    )
    findings = [injected, *held, undone]
    wrong = measured.wrong > 0
    doubled = measured.duplicated > 0 and not objectives.duplicates_allowed
    passed = sum(1 for finding in findings if finding.check == "passed")
    score = 0.0 if measured.lost or wrong or doubled else round(100 * passed / len(findings), 1)
    answers = (injected.check, worst(one.check for one in held), undone.check)
    return Judgement(
        verdict=worst(answers),
        injected=answers[0],
        held=answers[1],
        undone=answers[2],
        score=score,
        findings=tuple(finding.line for finding in findings),
    )


def worst(checks: Iterable[Check]) -> Check:
    """The worst of them; unknown when there are none."""
    return max(checks, key=_BADNESS.__getitem__, default="unknown")


def held_findings(measured: Measured, objectives: Objectives) -> list[Finding]:
    """One finding for each promise."""
    return [
        _lost(measured),
        _duplicated(measured, objectives),
        _none_of(measured, measured.unexpected, "answers to requests that were never sent"),
        _none_of(measured, measured.out_of_order, "answers out of the order of their requests"),
        *_wrong(measured),
        _statuses(measured),
        _rto(measured, objectives),
        _p99(measured.after, "after the recovery", objectives.p99_ms),
    ]


def _lost(measured: Measured) -> Finding:
    text = f"{measured.lost} of {measured.acked} accepted requests lost (0 promised)"
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
    told = f"{measured.written_twice} requests were written more than once by the drill's own producer"
    return Finding(finding.check, f"{finding.text}; {told}, and each copy is to be answered")


def _none_of(measured: Measured, count: int, what: str) -> Finding:
    if count:
        return Finding("failed", f"{count} {what} (0 promised)")
    return Finding("passed" if measured.answered else "unknown", f"0 {what}, of {measured.answered} answered requests")


def _wrong(measured: Measured) -> list[Finding]:
    """Nothing where no answer says what it is an answer to, as in histories of before this was looked at."""
    if not measured.compared:
        return []
    text = f"{measured.wrong} answers that cannot be to their requests (0 promised), of {measured.compared} compared"
    return [Finding("failed" if measured.wrong else "passed", text)]


def _statuses(measured: Measured) -> Finding:
    if not measured.not_ok:
        check: Check = "passed" if measured.answered else "unknown"
        return Finding(check, f"all {measured.answered} answers have status ok")
    seen = ", ".join(f"{count} {status}" for status, count in sorted(measured.not_ok.items()))
    return Finding("failed", f"answers that are not ok: {seen} (0 promised)")


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


def _p99(seen: Latency, when: str, objective: float) -> Finding:
    if seen.p99_ms is None or seen.count < MIN_SAMPLES:
        return Finding(
            "unknown",
            f"{seen.count} answers {when} are too few for a p99 ({MIN_SAMPLES} needed): raise rate or after_s",
        )
    text = f"p99 {when} {seen.p99_ms:.0f} ms over {seen.count} answers (objective {objective:g} ms)"
    return Finding("passed" if seen.p99_ms <= objective else "failed", text)
