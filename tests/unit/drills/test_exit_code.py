"""The exit code of `drill run`: one for each of the three verdicts, and which verdict comes first."""

from __future__ import annotations

import itertools

import pytest

from drills.reports.exit_code import exit_code
from schemas.records import Check, DrillEvent, Phase


def last(phase: Phase = "completed", **more: object) -> DrillEvent:
    return DrillEvent(drill_id="d", drill="worker-kill", phase=phase, at=1, **more)  # type: ignore[arg-type]


def judged(injected: Check, held: Check, undone: Check, lost: int = 0) -> DrillEvent:
    verdict = "failed" if "failed" in {injected, held, undone} else "unknown"
    passed = {injected, held, undone} == {"passed"}
    return last(verdict="passed" if passed else verdict, injected=injected, held=held, undone=undone, lost=lost)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (judged("passed", "passed", "passed"), 0),
        (judged("passed", "failed", "passed"), 1),
        (judged("passed", "failed", "failed"), 1),
        (judged("passed", "unknown", "failed", lost=1), 1),
        (judged("passed", "unknown", "passed"), 2),
        (judged("unknown", "unknown", "passed"), 2),
        (judged("failed", "unknown", "failed"), 3),
        (judged("passed", "passed", "failed"), 4),
        (judged("passed", "passed", "unknown"), 4),
        (judged("unknown", "unknown", "unknown"), 4),
        (last("rejected", verdict="rejected"), 75),
        (last("aborted", verdict="aborted"), 3),
        (last("aborted", verdict="aborted", injected="passed", undone="passed"), 2),
        (last("aborted", verdict="aborted", injected="passed"), 4),
    ],
)
def test_a_pipeline_is_told_what_was_found(event: DrillEvent, code: int) -> None:
    assert exit_code(event) == code


def test_a_dry_run_that_found_nothing_in_its_way_is_a_success() -> None:
    unknown = judged("unknown", "unknown", "unknown")
    assert exit_code(unknown, dry_run=True) == 0
    assert exit_code(last("rejected", verdict="rejected"), dry_run=True) == 75


def test_only_three_passed_verdicts_are_a_success() -> None:
    checks: tuple[Check, ...] = ("passed", "failed", "unknown")
    for three in itertools.product(checks, repeat=3):
        assert (exit_code(judged(*three)) == 0) is (set(three) == {"passed"})
