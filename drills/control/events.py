"""The events of the outcome stream, and what makes one the last of its drill."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from drills.running.plan import Plan
from schemas.records import DrillEvent, Phase

_LONGEST = 1000  # a command may be a megabyte, an event that quotes it must not be
_MOST = 50  # findings
_LONGEST_INTENT = 100_000  # it names every partition that is hit; cut short it could not be read
FINAL: Final[frozenset[Phase]] = frozenset({"rejected", "completed", "aborted"})


def event_of(plan: Plan, phase: Phase, **more: object) -> DrillEvent:
    """A phase of this plan's drill, now."""
    event = DrillEvent(
        drill_id=plan.drill_id,
        drill=plan.drill.name,
        phase=phase,
        at=now_ms(),
        requested_by=plan.requested_by,
        command=plan.command,
    )
    return bounded(msgspec.structs.replace(event, **more))


def rejection(
    drill_id: str, drill: str, reason: str, requested_by: str | None = None, command: str | None = None
) -> DrillEvent:
    """The only event of a drill that was refused before it had a plan."""
    event = DrillEvent(
        drill_id=drill_id,
        drill=drill,
        phase="rejected",
        at=now_ms(),
        reason=reason,
        requested_by=requested_by,
        verdict="rejected",
        command=command,
    )
    return bounded(event)


def bounded(event: DrillEvent) -> DrillEvent:
    """The same event, no text in it longer than can be read."""
    return msgspec.structs.replace(
        event,
        drill=event.drill[:_LONGEST],
        reason=event.reason[:_LONGEST] if event.reason else event.reason,
        requested_by=event.requested_by[:_LONGEST] if event.requested_by else event.requested_by,
        findings=[finding[:_LONGEST] for finding in event.findings[:_MOST]] if event.findings else event.findings,
        intent=event.intent if event.intent and len(event.intent) <= _LONGEST_INTENT else None,
    )


def now_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000
