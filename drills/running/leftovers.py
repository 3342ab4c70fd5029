"""What a runner finds when it starts: drills without an end, and faults that a dead runner left behind."""

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
from drills.evidence.verdict import Finding
from drills.faults import fault_named
from drills.faults.injector import Injector
from drills.faults.running_system import RunningSystem
from drills.running import intents
from drills.running.intents import Intent, Whose
from drills.running.undoing import Undoing
from schemas.codec import Encoding
from schemas.records import DrillEvent
from standfast.core.errors import Unreadable
from standfast.core.processes import role_word
from standfast.core.settings import Settings

_UNDONE_WITHIN_S = 10.0
_LOOK_EVERY_S = 0.1
_NOT_KNOWN = Finding("unknown", "what the drill injected is not known: no intent of it can be read")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Orphan:
    """A drill that has no last event: those that it has, and how they are written."""

    events: tuple[DrillEvent, ...]
    encoding: Encoding

    @property
    def drill_id(self) -> str:
        """Its id."""
        return self.events[0].drill_id

    @property
    def event(self) -> DrillEvent:
        """Its last event, where the dead runner's own events are all that is known."""
        if not any(event.phase == "steady_state" for event in self.events):
            return _ending(self, None, None)
        return _ending(self, _told(self) or _NOT_KNOWN, _NOT_KNOWN)

    def whose(self, topic: str) -> Whose:
        """The drill an intent of it is of."""
        return Whose(topic, self.drill_id, self.events[0].command)


def orphans(outcomes: Iterable[Outcome]) -> list[Orphan]:
    """The drills that have none of the final events."""
    by_drill: dict[tuple[str, str | None], list[Outcome]] = {}
    for outcome in outcomes:
        by_drill.setdefault((outcome.event.drill_id, outcome.event.command), []).append(outcome)
    return [
        Orphan(tuple(one.event for one in found), found[0].encoding)
        for found in by_drill.values()
        if not any(one.event.phase in FINAL for one in found)
    ]


class Leftovers:
    """The faults that dead runners of this outcome stream may have left. `over` ends the wait for what takes long."""

    def __init__(self, settings: Settings, topic: str, over: Callable[[], bool]) -> None:
        self._settings = settings
        self._topic = topic
        self._over = over
        self._struck: dict[Whose, Finding] = {}  # seen before it was undone, by this process

    def undo(self) -> None:
        """Takes away all that files tell of, without Kafka: if that was struck, it does not answer before this."""
        for intent in intents.kept(self._topic):
            _log.warning("undoing what a dead runner may have left", drill_id=intent.whose.drill_id, fault=intent.fault)
            self._undone(intent, None)

    def ended(self, orphan: Orphan) -> DrillEvent:
        """Takes the drill's fault away, and gives its last event; blocks for some 10 s at most."""
        intent = self._intent_of(orphan)
        if intent is None:
            return orphan.event
        struck, undone = self._undone(intent, _UNDONE_WITHIN_S)
        return _ending(orphan, _told(orphan) or struck, undone)

    def forget(self) -> None:
        """Drops the files of drills that have their last event; one whose fault is not shown to be undone stays."""
        for intent in intents.kept(self._topic):
            _, undone = self._undone(intent, 0.0)
            if undone.check == "passed":
                intents.forget(intent.whose)
            else:
                _log.error("a fault is still not undone", drill_id=intent.whose.drill_id, seen=undone.text)

    def _intent_of(self, orphan: Orphan) -> Intent | None:
        """The file's, else the event's; None where neither can be read."""
        whose = orphan.whose(self._topic)
        for intent in intents.kept(self._topic):
            if intent.whose == whose:
                return intent
        for event in orphan.events:
            try:
                told = intents.decoded(event.intent) if event.intent else None
            except Unreadable as error:
                _log.warning("an intent cannot be read", drill_id=event.drill_id, error=str(error))
                continue
            if told is not None and told.whose == whose:
                return told
        return None

    def _undone(self, intent: Intent, within_s: float | None) -> tuple[Finding, Finding]:
        """Whether the fault struck, and whether nothing is left of it; None: it is taken away and nobody looks."""
        if intent.machine != intents.machine() and not intents.is_kept(intent.whose):
            elsewhere = Finding("unknown", "the fault was made on another machine; a drill runner there undoes it")
            return elsewhere, elsewhere
        try:
            with closing(self._injector(intent)) as injector:
                struck = self._seen(intent, injector)
                return struck, self._taken_away(Undoing(injector, intent.whose.drill_id), within_s)
        except Exception as error:  # noqa: BLE001 - a fault of another version, or anybody's text: never a crash loop
            reason = f"this runner cannot undo the fault {intent.fault[:100]!r} ({type(error).__name__}: {error})"
            _log.error("a fault cannot be undone", drill_id=intent.whose.drill_id, reason=reason)
            intents.put_aside(intent.whose, reason)
            return Finding("unknown", reason), Finding("unknown", reason)

    def _injector(self, intent: Intent) -> Injector:
        kind, aim = fault_named(intent.fault), intent.aim
        scene = RunningSystem(self._settings, service(intent.service, self._settings))
        return kind.make(scene, kind.aim(aim.target, aim.params, aim.seed))

    def _seen(self, intent: Intent, injector: Injector) -> Finding:
        """Whether it struck: once it is undone, that cannot be seen any more."""
        struck, before = injector.resume(intent.target), self._struck.get(intent.whose)
        if before is None or before.check != "passed":
            self._struck[intent.whose] = struck
        return self._struck[intent.whose]

    def _taken_away(self, undoing: Undoing, within_s: float | None) -> Finding:
        if within_s is None:
            return undoing.act() or Finding("unknown", "the fault was taken away; nobody has looked yet")
        until = time.monotonic() + within_s
        while (undone := undoing.again()).check != "passed" and time.monotonic() < until and not self._over():
            role_word.beat()
            time.sleep(_LOOK_EVERY_S)
        return undone


def _told(orphan: Orphan) -> Finding | None:
    """What the dead runner has said of the injection."""
    for event in orphan.events:
        if event.injected is not None:
            text = "; ".join(event.findings or ()).removeprefix(f"{event.injected}: ")
            return Finding(event.injected, text or "the drill runner said so before it ended")
    return None


def _ending(orphan: Orphan, struck: Finding | None, undone: Finding | None) -> DrillEvent:
    first, last = orphan.events[0], orphan.events[-1]
    reason = f"the drill runner ended without warning after the phase {last.phase}"
    drill = catalogue().get(first.drill)
    if struck is None:
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
        injected=struck.check if struck else None,
        undone=undone.check if undone else None,
        findings=[finding.line for finding in dict.fromkeys((struck, undone)) if finding] or None,
        command=first.command,
    )
    return bounded(event)
