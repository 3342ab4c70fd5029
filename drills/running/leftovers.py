"""Drills without a final event, and faults not undone, that a runner finds of a dead runner when it starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from consumers.service import service
from drills.catalogue import catalogue
from drills.control.events import FINAL, bounded, now_ms
from drills.control.outcomes import Outcome
from drills.evidence.verdict import Finding, together
from drills.faults import fault_named
from drills.running import intents
from drills.running.intents import DrillKey, IntendedFault, Intent
from drills.running.ordered_fault import OrderedFault
from drills.running.orders import Orders
from drills.running.plan import PlannedFault
from schemas.codec import Encoding
from schemas.records import DrillEvent
from standfast.core.errors import StandfastError, Unreadable
from standfast.core.processes import role_word
from standfast.core.settings import Settings

_UNDONE_WITHIN_S = 10.0  # for the fault of a dead runner to be seen undone; the new runner reads no command meanwhile
_CHECK_EVERY_S = 0.1
_NOT_KNOWN = Finding("unknown", "what the drill injected is not known: no intent of it can be read")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Orphan:
    """A drill without a final event: its events so far, and their encoding."""

    events: tuple[DrillEvent, ...]
    encoding: Encoding

    @property
    def drill_id(self) -> str:
        """Its id."""
        return self.events[0].drill_id

    @property
    def event(self) -> DrillEvent:
        """Its final event if no intent can be read: all that is known is what the dead runner's events say."""
        if not any(event.phase == "steady_state" for event in self.events):
            return _final_event(self, None, None)
        return _final_event(self, _reported_injection(self) or _NOT_KNOWN, _NOT_KNOWN)

    def key(self, topic: str) -> DrillKey:
        """Its key, which its intent has too; `topic` is the outcome stream."""
        return DrillKey(topic, self.drill_id, self.events[0].command)


def orphans(outcomes: Iterable[Outcome]) -> list[Orphan]:
    """The drills that have no final event."""
    by_drill: dict[tuple[str, str | None], list[Outcome]] = {}
    for outcome in outcomes:
        by_drill.setdefault((outcome.event.drill_id, outcome.event.command), []).append(outcome)
    return [
        Orphan(tuple(outcome.event for outcome in drill), drill[0].encoding)
        for drill in by_drill.values()
        if not any(outcome.event.phase in FINAL for outcome in drill)
    ]


class Leftovers:
    """Ends the drills of dead runners of this outcome stream. `over` ends the wait for an undo."""

    def __init__(self, settings: Settings, topic: str, orders: Orders, over: Callable[[], bool]) -> None:
        self._settings = settings
        self._topic = topic
        self._orders = orders
        self._over = over

    def ended(self, orphan: Orphan) -> DrillEvent:
        """Has the drill's faults undone by their agents and returns its final event; blocks for about 10 s at most."""
        intent = self._intent_of(orphan)
        if intent is None:
            return orphan.event
        injection, undone = self._undone(intent)
        return _final_event(orphan, _reported_injection(orphan) or injection, undone)

    def _intent_of(self, orphan: Orphan) -> Intent | None:
        """The intent in the drill's events; None if none can be read."""
        key = orphan.key(self._topic)
        for event in reversed(orphan.events):  # the latest one contains all faults
            try:
                intent = intents.decoded(event.intent) if event.intent else None
            except Unreadable as error:
                _log.warning("an intent cannot be read", drill_id=event.drill_id, error=str(error))
                continue
            if intent is not None and intent.whose == key:
                return intent
        return None

    def _undone(self, intent: Intent) -> tuple[Finding, Finding]:
        """Whether the faults were injected, and whether they are undone."""
        try:
            faults = [self._fault(intent, intended) for intended in intent.faults]
        except (StandfastError, KeyError) as error:  # an intent of another version, or a forged one
            reason = f"this runner cannot undo the drill's faults ({type(error).__name__}: {error})"
            _log.error("a fault cannot be undone", drill_id=intent.whose.drill_id, reason=reason)
            return Finding("unknown", reason), Finding("unknown", reason)
        injection = together(
            fault.resume(intended.target) for fault, intended in zip(faults, intent.faults, strict=True)
        )
        deadline = time.monotonic() + _UNDONE_WITHIN_S
        while (
            (undone := together(fault.undone() for fault in faults)).check != "passed"
            and time.monotonic() < deadline
            and not self._over()
        ):
            role_word.beat()
            time.sleep(_CHECK_EVERY_S)
        for fault in faults:
            fault.close()
        return injection, undone

    def _fault(self, intent: Intent, intended: IntendedFault) -> OrderedFault:
        kind, aim = fault_named(intended.fault), intended.aim
        planned = PlannedFault(intended.number, kind, kind.aim(aim.target, aim.params, aim.seed, aim.drill_id))
        of_service = service(intent.service, self._settings)
        return OrderedFault(self._orders, intent.whose.drill_id, planned, of_service, intended.host)


def _reported_injection(orphan: Orphan) -> Finding | None:
    """What the dead runner's events say about the injection."""
    for event in orphan.events:
        if event.injected is not None:
            text = "; ".join(event.findings or ()).removeprefix(f"{event.injected}: ")
            return Finding(event.injected, text or "the drill runner said so before it ended")
    return None


def _final_event(orphan: Orphan, injection: Finding | None, undone: Finding | None) -> DrillEvent:
    first, last = orphan.events[0], orphan.events[-1]
    reason = f"the drill runner ended without warning after the phase {last.phase}"
    drill = catalogue().get(first.drill)
    if injection is None:
        reason += "; nothing was injected"
    elif drill is not None and (undone is None or undone.check != "passed"):
        reason += f"; undo: {drill.undo}"
    event = DrillEvent(
        drill_id=first.drill_id,
        drill=first.drill,
        phase="aborted",
        at=now_ms(),
        reason=reason,
        requested_by=first.requested_by,
        target=next((event.target for event in reversed(orphan.events) if event.target), None),
        verdict="aborted",
        injected=injection.check if injection else None,
        undone=undone.check if undone else None,
        findings=[finding.line for finding in dict.fromkeys((injection, undone)) if finding] or None,
        command=first.command,
    )
    return bounded(event)
