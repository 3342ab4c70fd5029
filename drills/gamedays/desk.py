"""One game day at a time: its drill, what people say, and its end. All is in events, so another runner goes on."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from random import Random

import msgspec
import structlog

from drills.catalogue import catalogue
from drills.control.commands import Received
from drills.control.events import FINAL, bounded, now_ms
from drills.control.outcomes import Outcome, last_unfinished
from drills.gamedays.hidden import sealed, unsealed
from drills.gamedays.reactions import TIMED, Reaction, findings, reaction, times
from drills.running import answers
from drills.running.plan import make_plan
from schemas.codec import Encoding
from schemas.records import DrillCommand, DrillEvent
from standfast.core.errors import DrillRejected, Unreadable
from standfast.core.settings import Settings

_ACTIONS = ("start", *TIMED, "note", "end")
_LONGEST_ID = 110  # characters: its drill's id is longer
_log = structlog.get_logger()


class GameDays:
    """The game day that is open, if any; everything is called from the runner's thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._accepted: DrillEvent | None = None
        self._encoding = Encoding.JSON
        self._drill: DrillCommand | None = None
        self._events: list[DrillEvent] = []  # of its drill
        self._reactions: list[Reaction] = []
        self._is_ending = False

    def answer(self, command: Received, known_ids: set[str]) -> tuple[DrillEvent, ...]:
        """The events that answer an order; raises DrillRejected."""
        action = command.command.gameday or ""
        if action not in _ACTIONS:
            raise DrillRejected(f"gameday = {action!r:.100}: give {', '.join(_ACTIONS)}")
        if action == "start":
            return self._started(command, known_ids)
        if self._accepted is None:
            raise DrillRejected("no game day is open; begin it: standfast gameday start")
        if action == "end":
            self._is_ending = True
            return (answers.done(command, f"the game day {self._accepted.drill_id} ends"),)
        return self._reacted(action, command, self._accepted)

    def resume(self, outcomes: Collection[Outcome]) -> None:
        """Goes on with a game day of an earlier runner: the last one that has no final event."""
        accepted = last_unfinished(outcomes, is_game_day)
        if accepted is None:
            return
        self._open(accepted.event, accepted.encoding)
        for outcome in outcomes:
            self._remember(outcome.event)

    def note(self, event: DrillEvent) -> None:
        """Takes note of every event of a drill, before anything in it is hidden."""
        if self.hides(event.drill_id):
            self._events.append(event)

    def hides(self, drill_id: str) -> bool:
        """Whether the events of that drill must not tell which drill it is."""
        return self._drill is not None and drill_id == self._drill.drill_id

    def end(self, drill_id: str) -> bool:
        """Ends the game day of that id; returns whether there is one."""
        is_mine = self._accepted is not None and drill_id == self._accepted.drill_id
        self._is_ending = self._is_ending or is_mine
        return is_mine

    def due(self) -> list[Received]:
        """The command of its drill, until that has an event."""
        if self._accepted is None or self._drill is None or self._events or self._is_ending:
            return []
        drill_id = self._drill.drill_id or ""
        record = f"{drill_id}@{self._accepted.command}"
        return [Received(record, drill_id, self._encoding, self._drill, drill_id)]

    def to_stop(self) -> str | None:
        """The id of its drill if the game day ends and the drill still runs."""
        if not self._is_ending or not self._events or self._events[-1].phase in FINAL:
            return None
        return self._events[-1].drill_id

    def events(self) -> list[tuple[DrillEvent, Encoding]]:
        """Its last event, once it is over: when it was ended, or its drill was refused."""
        if self._accepted is None:
            return []
        last = self._events[-1] if self._events else None
        is_refused = last is not None and last.phase == "rejected"
        if not is_refused and not (self._is_ending and (last is None or last.phase in FINAL)):
            return []
        final = self._final(self._accepted, last)
        self._accepted = self._drill = None
        self._events, self._reactions, self._is_ending = [], [], False
        return [(final, self._encoding)]

    def _started(self, command: Received, known_ids: set[str]) -> tuple[DrillEvent, ...]:
        if self._accepted is not None:
            raise DrillRejected(f"the game day {self._accepted.drill_id} is open; end it first: standfast gameday end")
        if len(command.drill_id) > _LONGEST_ID:
            raise DrillRejected(f"a game day's drill_id has at most {_LONGEST_ID} characters")
        drill = self._chosen(command)
        if drill.drill_id in known_ids:
            raise DrillRejected(f"the id {drill.drill_id} was used before; give the game day another drill_id")
        make_plan(drill, drill.drill_id or "", self._settings)
        said = "a game day begins: something will break. Say what you do: standfast gameday ack, note, end"
        accepted = msgspec.structs.replace(answers.told(command, "accepted", said), params={"sealed": sealed(drill)})
        self._open(accepted, command.encoding)
        return (accepted,)

    def _chosen(self, command: Received) -> DrillCommand:
        order = command.command
        seed = order.seed if order.seed is not None else zlib.crc32(command.drill_id.encode())
        names = [name.strip() for name in order.drill.split(",")] if order.drill else sorted(catalogue())
        return DrillCommand(
            drill=Random(seed).choice(names),
            drill_id=f"{command.drill_id}.drill",
            target=order.target,
            params=order.params,
            duration_s=order.duration_s,
            seed=seed,
            requested_by=command.by,
        )

    def _reacted(self, action: str, command: Received, accepted: DrillEvent) -> tuple[DrillEvent, ...]:
        injected = next((event.at for event in self._events if event.phase == "injected"), None)
        after_ms = max(now_ms() - injected, 0) if injected is not None else None
        by, team, text = command.by or "somebody", (command.command.team or "")[:100], command.command.reason or ""
        seen = Reaction(action, by[:100], team, text[:500], after_ms)
        self._reactions.append(seen)
        told = self._event(accepted, phase="observing", reason=seen.said, params=seen.fields())
        return answers.done(command, seen.said), told

    def _open(self, accepted: DrillEvent, encoding: Encoding) -> None:
        try:
            self._drill = unsealed((accepted.params or {}).get("sealed"))
        except Unreadable as error:
            _log.error("a game day cannot go on", drill_id=accepted.drill_id, error=str(error))
            self._is_ending = True
        self._accepted, self._encoding = accepted, encoding

    def _remember(self, event: DrillEvent) -> None:
        self.note(event)
        if self._accepted is not None and event.drill_id == self._accepted.drill_id:
            seen = reaction(event.params or {})
            self._reactions += [seen] if seen else []

    def _final(self, accepted: DrillEvent, last: DrillEvent | None) -> DrillEvent:
        name = self._drill.drill if self._drill is not None else "not known"
        what = {"drill": name, **times(self._reactions)}
        if last is None or last.phase == "rejected":
            why = f"nothing was injected: {last.reason}" if last else "it was ended before anything was injected"
            return self._event(
                accepted, phase="rejected", verdict="rejected", reason=f"it was {name}; {why}", params=what
            )
        figures = {key: getattr(last, key) for key in ("injected", "held", "undone", "rto_ms", "lost", "duplicated")}
        lines = [*findings(self._reactions), *(last.findings or ())]
        reason = f"it was {name}: {last.verdict}" + (f" ({last.reason})" if last.reason else "")
        ended = {"phase": "completed", "verdict": last.verdict, "reason": reason, "findings": lines, "params": what}
        return self._event(accepted, **ended, **figures)

    def _event(self, accepted: DrillEvent, **more: object) -> DrillEvent:
        return bounded(msgspec.structs.replace(accepted, at=now_ms(), **more))


def is_game_day(event: DrillEvent) -> bool:
    """Whether it is an event of a game day itself, not of its drill."""
    return event.drill == "gameday"
