"""The events with which the runner answers a command that starts no drill."""

from __future__ import annotations

import msgspec

from drills.control.commands import Received
from drills.control.events import bounded, event_of, now_ms, rejection
from drills.faults.injector import Target
from drills.running.plan import Plan, least_s
from schemas.records import DrillCommand, DrillEvent, Phase, Scalar
from standfast.core.errors import DrillRejected


def refusal(command: Received, drill_id: str, reason: str) -> DrillEvent:
    """The only event of a command that is refused."""
    return rejection(drill_id, command.name, reason, command.by, command.record)


def done(command: Received, reason: str, **params: Scalar) -> DrillEvent:
    """The only event of an order that was carried out; `reason` says what was done."""
    return msgspec.structs.replace(told(command, "completed", reason), verdict="passed", params=params or None)


def called_off(command: Received, reason: str) -> DrillEvent:
    """The final event of a drill that is called off before it begins."""
    return msgspec.structs.replace(told(command, "aborted", reason), verdict="aborted")


def told(command: Received, phase: Phase, reason: str) -> DrillEvent:
    """An event of a command for which there is no plan."""
    return bounded(
        DrillEvent(
            drill_id=command.drill_id,
            drill=command.name,
            phase=phase,
            at=now_ms(),
            reason=reason,
            requested_by=command.by,
            command=command.record,
        )
    )


def refuse_if_late(command: DrillCommand) -> None:
    """Raises DrillRejected for a command that is valid no longer: its sender has given up."""
    if command.valid_until is not None and now_ms() > command.valid_until:
        late_ms = now_ms() - command.valid_until
        raise DrillRejected(
            f"the command was valid until {late_ms / 1000:.3g} s ago (valid_until = {command.valid_until}, by the "
            "clock of the drill runner), so nothing is begun; send it again"
        )


def dry(plan: Plan, target: Target, topic: str, limits: list[str]) -> DrillEvent:
    """The final event of a dry run: what would have been injected, and which limits apply."""
    first, *others = plan.faults
    return event_of(
        plan,
        "completed",
        seed=plan.seed,
        target=target.shown(topic),
        verdict="unknown",
        injected="unknown",
        held="unknown",
        undone="unknown",
        reason="dry run: nothing was injected",
        findings=[
            f"unknown: {first.kind.says}: would strike {target.named}, which owns {list(target.partitions)} of {topic}",
            *(f"unknown: {fault.kind.says}: its victim would be chosen when its step comes" for fault in others),
            f"unknown: {target.standbys} standbys are ready to take over",
            f"unknown: would send {plan.rate:g} requests/s for {least_s(plan):g} s and the recovery",
            *(f"unknown: {limit}" for limit in limits),
        ],
    )
