"""The events of the outcome stream, and which phases are final."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from drills.running.plan import Plan
from schemas.records import DrillEvent, Phase

_LONGEST = 1000  # characters; an event quotes its command, which may have a megabyte
_MOST = 50  # findings; a drill that ran to its end has about ten
_LONGEST_INTENT = 100_000  # characters; it lists all partitions that are hit. A longer one is left out, not cut
_ORDERS = frozenset({"abort", "lever", "approve", "gameday"})
FINAL: Final[frozenset[Phase]] = frozenset({"rejected", "completed", "aborted"})


def event_of(plan: Plan, phase: Phase, **more: object) -> DrillEvent:
    """The event that this plan's drill enters `phase` now; `more` are further fields of the event."""
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
    """The only event of a drill that is refused before a plan is made."""
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


def is_done(event: DrillEvent) -> bool:
    """Whether it answers an order that was carried out at once, and so is no drill's, campaign's or game day's."""
    is_answer = event.phase == "completed" and event.verdict == "passed" and event.injected is None
    return is_answer and event.drill in _ORDERS


def bounded(event: DrillEvent) -> DrillEvent:
    """The event with its texts cut to 1000 characters and its findings to 50."""
    return msgspec.structs.replace(
        event,
        drill=event.drill[:_LONGEST],
        reason=event.reason[:_LONGEST] if event.reason else event.reason,
        requested_by=event.requested_by[:_LONGEST] if event.requested_by else event.requested_by,
        findings=[finding[:_LONGEST] for finding in event.findings[:_MOST]] if event.findings else event.findings,
        intent=event.intent if event.intent and len(event.intent) <= _LONGEST_INTENT else None,
    )


def now_ms() -> int:
    """The time now, in epoch milliseconds."""
    return time.time_ns() // 1_000_000
