"""What the end of a drill tells a pipeline."""

from __future__ import annotations

from typing import Final

from schemas.records import DrillEvent

HELD: Final = 0
DEVIATED: Final = 1
UNKNOWN: Final = 2
NOT_INJECTED: Final = 3
NOT_UNDONE: Final = 4
REJECTED: Final = 75  # EX_TEMPFAIL of sysexits.h: the same may be tried again later


def exit_code(last: DrillEvent, *, dry_run: bool = False) -> int:
    """The exit code of `drill run` after its last event. Where several hold, the one that people must look at first.

    An answer that was lost, or an objective that was missed, comes before a fault that may be left behind, and that
    before a fault of which it is not known whether it struck.
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
