"""The events of the outcome stream, and what makes one the last of its drill."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from drills.plan import Plan
from schemas.records import DrillEvent, Phase

_LONGEST = 1000  # a command may be a megabyte, an event that quotes it must not be
FINAL: Final[frozenset[Phase]] = frozenset({"rejected", "completed", "aborted"})


def event_of(plan: Plan, phase: Phase, **more: object) -> DrillEvent:
    """A phase of this plan's drill, now."""
    event = DrillEvent(
        drill_id=plan.drill_id, drill=plan.drill.name, phase=phase, at=now_ms(), requested_by=plan.requested_by
    )
    return msgspec.structs.replace(event, **more)


def rejection(drill_id: str, drill: str, reason: str, requested_by: str | None = None) -> DrillEvent:
    """The only event of a drill that was refused before it had a plan."""
    return DrillEvent(
        drill_id=drill_id,
        drill=drill,
        phase="rejected",
        at=now_ms(),
        reason=reason[:_LONGEST],
        requested_by=requested_by[:_LONGEST] if requested_by else None,
        verdict="rejected",
    )


def now_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000
