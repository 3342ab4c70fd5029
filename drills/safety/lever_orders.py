"""The lever as events: an order that moves it, and its state as the outcome stream remembers it."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from drills.control.commands import Received
from drills.running import answers
from drills.running.underway import Underway
from drills.safety import lever
from schemas.records import DrillEvent
from standfast.core.errors import DrillRejected, SetupError

_log = structlog.get_logger()


def moved_lever(command: Received, underway: Underway) -> DrillEvent:
    """Moves the lever as the command says, and returns the answer; raises DrillRejected if its file stays as it was."""
    engage = command.command.lever == "engaged"
    by, reason = command.by or "", command.command.reason or ""
    running = [drill.plan.drill_id for drill in underway.all()]
    if engage:
        underway.stop_all(f"stopped by the lever, which the command {command.own_id} engaged")
    try:
        lever.set_lever(engage=engage, reason=reason, by=by)
    except (OSError, SetupError) as error:
        also = " the drills that run are stopped, but new ones are not refused" if engage else ""
        raise DrillRejected(
            f"the lever's file cannot be written ({error});{also or ' the lever stays as it was'}"
        ) from None
    if not engage:
        return answers.done(command, "the lever is released: drills may run", lever="released")
    stopped = f", and {', '.join(running)} stopped" if running else ""
    why = f" ({reason})" if reason else ""
    return answers.done(
        command, f"the lever is engaged{why}: new drills are refused{stopped}", lever="engaged", why=reason
    )


def restore_lever(events: Iterable[DrillEvent]) -> None:
    """Engages the lever if the outcome stream last says so and this state folder knows nothing of it."""
    moves = [
        event
        for event in events
        if event.drill == "lever" and event.phase == "completed" and "lever" in (event.params or {})
    ]
    if not moves or lever.is_known():
        return
    params = moves[-1].params or {}
    if params["lever"] != "engaged":
        return
    try:
        lever.set_lever(engage=True, reason=str(params.get("why") or ""), by=moves[-1].requested_by or "")
    except (OSError, SetupError) as error:
        _log.error("the lever, which is engaged, cannot be kept", error=str(error))
    else:
        _log.warning("the lever is engaged, as the outcome stream says", reason=lever.engaged())
