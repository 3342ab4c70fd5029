"""Drills without a final event, and faults not undone, that a runner finds of a dead runner when it starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass

import structlog

from consumers.service import service
from drills.catalogue import catalogue
from drills.control.events import FINAL, bounded, now_ms
from drills.control.outcomes import Outcome
from drills.evidence.verdict import Finding, together
from drills.faults import fault_named
from drills.faults.injector import Injector
from drills.faults.running_system import RunningSystem
from drills.running import intents
from drills.running.intents import DrillKey, Intent
from drills.running.undoing import Undoing
from schemas.codec import Encoding
from schemas.records import DrillEvent
from standfast.core.errors import Unreadable
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
    """The faults that dead runners of this outcome stream may have left. `over` ends the wait for an undo."""

    def __init__(self, settings: Settings, topic: str, over: Callable[[], bool]) -> None:
        self._settings = settings
        self._topic = topic
        self._over = over
        self._injections: dict[tuple[DrillKey, int], Finding] = {}  # as this process saw them before it undid them

    def undo(self) -> None:
        """Undoes every fault that has an intent file, without Kafka: a broker that was struck may not answer yet."""
        for intent in intents.kept(self._topic):
            faults = ", ".join(intended.fault for intended in intent.faults)
            _log.warning("undoing what a dead runner may have left", drill_id=intent.whose.drill_id, faults=faults)
            self._undone(intent, None)

    def ended(self, orphan: Orphan) -> DrillEvent:
        """Undoes the drill's fault and returns its final event; blocks for about 10 s at most."""
        intent = self._intent_of(orphan)
        if intent is None:
            return orphan.event
        injection, undone = self._undone(intent, _UNDONE_WITHIN_S)
        return _final_event(orphan, _reported_injection(orphan) or injection, undone)

    def forget(self) -> None:
        """Deletes the files of drills that have their final event, except where the fault is not seen to be undone."""
        for intent in intents.kept(self._topic):
            _, undone = self._undone(intent, 0.0)
            if undone.check == "passed":
                intents.forget(intent.whose)
            else:
                _log.error("a fault is still not undone", drill_id=intent.whose.drill_id, seen=undone.text)

    def _intent_of(self, orphan: Orphan) -> Intent | None:
        """The intent from its file, else from the event; None if neither can be read."""
        key = orphan.key(self._topic)
        for intent in intents.kept(self._topic):
            if intent.whose == key:
                return intent
        for event in reversed(orphan.events):  # the latest one contains all faults
            try:
                in_event = intents.decoded(event.intent) if event.intent else None
            except Unreadable as error:
                _log.warning("an intent cannot be read", drill_id=event.drill_id, error=str(error))
                continue
            if in_event is not None and in_event.whose == key:
                return in_event
        return None

    def _undone(self, intent: Intent, within_s: float | None) -> tuple[Finding, Finding]:
        """Whether the faults were injected, and whether they are undone; with `within_s` None that is not checked."""
        if intent.machine != intents.machine() and not intents.is_kept(intent.whose):
            elsewhere = Finding("unknown", "the fault was made on another machine; a drill runner there undoes it")
            return elsewhere, elsewhere
        looks = [self._undone_fault(intent, number, within_s) for number in range(len(intent.faults))]
        return together(injection for injection, _ in looks), together(undone for _, undone in looks)

    def _undone_fault(self, intent: Intent, number: int, within_s: float | None) -> tuple[Finding, Finding]:
        name = intent.faults[number].fault
        try:
            with closing(self._injector(intent, number)) as injector:
                injection = self._injection(intent, number, injector)
                return injection, self._undo_and_check(Undoing(injector, intent.whose.drill_id), within_s)
        except Exception as error:  # noqa: BLE001 - an intent of another version, or a forged one: never a crash loop
            reason = f"this runner cannot undo the fault {name[:100]!r} ({type(error).__name__}: {error})"
            _log.error("a fault cannot be undone", drill_id=intent.whose.drill_id, reason=reason)
            intents.put_aside(intent.whose, reason)
            return Finding("unknown", reason), Finding("unknown", reason)

    def _injector(self, intent: Intent, number: int) -> Injector:
        kind, aim = fault_named(intent.faults[number].fault), intent.faults[number].aim
        system = RunningSystem(self._settings, service(intent.service, self._settings))
        return kind.make(system, kind.aim(aim.target, aim.params, aim.seed))

    def _injection(self, intent: Intent, number: int, injector: Injector) -> Finding:
        """Whether the fault was injected. It is remembered, because it cannot be seen any more after the undo."""
        injection, which = injector.resume(intent.faults[number].target), (intent.whose, number)
        before = self._injections.get(which)
        if before is None or before.check != "passed":
            self._injections[which] = injection
        return self._injections[which]

    def _undo_and_check(self, undoing: Undoing, within_s: float | None) -> Finding:
        if within_s is None:
            return undoing.undo() or Finding("unknown", "the fault was taken away; nobody has looked yet")
        deadline = time.monotonic() + within_s
        while (
            (undone := undoing.undo_and_check()).check != "passed" and time.monotonic() < deadline and not self._over()
        ):
            role_word.beat()
            time.sleep(_CHECK_EVERY_S)
        return undone


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
