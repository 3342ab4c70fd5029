"""What a runner finds when it starts: the drills there were, and those that a dead runner left without an end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drills.catalogue import catalogue
from drills.control.events import FINAL, now_ms
from drills.control.outcomes import Outcome
from schemas.codec import Encoding
from schemas.records import Check, DrillEvent


@dataclass(frozen=True, slots=True)
class Orphan:
    """The last event a drill still needs, and how to write it."""

    event: DrillEvent
    encoding: Encoding


def orphans(outcomes: Iterable[Outcome]) -> list[Orphan]:
    """One `aborted` event for each drill that has none of the final ones."""
    by_drill: dict[tuple[str, str | None], list[Outcome]] = {}
    for outcome in outcomes:
        by_drill.setdefault((outcome.event.drill_id, outcome.event.command), []).append(outcome)
    return [
        Orphan(_ending(events), events[0].encoding)
        for events in by_drill.values()
        if not any(outcome.event.phase in FINAL for outcome in events)
    ]


def _ending(outcomes: list[Outcome]) -> DrillEvent:
    events = [outcome.event for outcome in outcomes]
    first, last = events[0], events[-1]
    injected: Check = "passed" if any(event.injected == "passed" for event in events) else "unknown"
    undone: Check = "passed" if any(event.undone == "passed" for event in events) else "unknown"
    drill = catalogue().get(first.drill)
    undo = f"; undo: {drill.undo}" if drill else ""
    return DrillEvent(
        drill_id=first.drill_id,
        drill=first.drill,
        phase="aborted",
        at=now_ms(),
        reason=f"the drill runner ended without warning after the phase {last.phase}{undo}",
        requested_by=first.requested_by,
        target=next((event.target for event in reversed(events) if event.target), None),
        verdict="aborted",
        injected=injected,
        undone=undone,
        command=first.command,
    )
