"""The exit codes of `drill run`, for pipelines."""

from __future__ import annotations

from typing import Final

from schemas.records import DrillEvent

HELD: Final = 0
DEVIATED: Final = 1
UNKNOWN: Final = 2
NOT_INJECTED: Final = 3
NOT_UNDONE: Final = 4
REJECTED: Final = 75  # EX_TEMPFAIL of sysexits.h: the caller may try again later


def exit_code(last: DrillEvent, *, dry_run: bool = False) -> int:
    """The exit code of `drill run` after its final event. If several apply, the most urgent one.

    DEVIATED (a lost answer or a missed objective) comes first, then NOT_INJECTED, then NOT_UNDONE or UNKNOWN.
    """
    if last.phase == "rejected":
        return REJECTED
    if last.verdict == "passed" or (dry_run and last.phase == "completed"):
        return HELD
    if last.held == "failed" or last.lost:
        return DEVIATED
    if last.injected in {None, "failed"}:
        return NOT_INJECTED
    return UNKNOWN if last.undone == "passed" else NOT_UNDONE
