"""How far a campaign is: which drills have begun, how they ended, and what that makes of the campaign. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from drills.campaigns.definition import Campaign
from drills.control.events import FINAL, bounded, now_ms
from schemas.codec import Encoding
from schemas.records import Check, DrillCommand, DrillEvent, Verdict

_WORST: tuple[Check, ...] = ("failed", "unknown", "passed")
_OWN_CONDITION = "stopped by its own condition"  # how `drills.running.watch` begins such a reason


class CampaignProgress:
    """One campaign that was accepted. `stopped` says why it ends early; "" while it goes on."""

    def __init__(
        self, accepted: DrillEvent, encoding: Encoding, campaign: Campaign, steps: tuple[tuple[DrillCommand, ...], ...]
    ) -> None:
        self.accepted = accepted
        self.encoding = encoding
        self.campaign = campaign
        self.stopped = ""
        self._steps = steps
        self._begun: set[str] = set()
        self._ended: dict[str, DrillEvent] = {}
        self._ids = {command.drill_id or "" for step in steps for command in step}

    @property
    def campaign_id(self) -> str:
        """Its id."""
        return self.accepted.drill_id

    def note(self, event: DrillEvent) -> bool:
        """Takes note of an event; returns whether it is the final one of one of its drills, seen for the first time."""
        if event.drill_id not in self._ids:
            return False
        self._begun.add(event.drill_id)
        if event.phase not in FINAL or event.drill_id in self._ended:
            return False
        self._ended[event.drill_id] = event
        return True

    def waiting(self) -> tuple[DrillCommand, ...]:
        """The drills of the next step that have not begun; empty while others run, or if there is nothing to come."""
        if self._begun - self._ended.keys() or self.stopped or self._is_spent():
            return ()
        for step in self._steps:
            if left := tuple(command for command in step if command.drill_id not in self._begun):
                return left
        return ()

    def going_on(self) -> list[str]:
        """The ids of its drills that have begun and not ended."""
        return sorted(self._begun - self._ended.keys())

    def ids(self) -> frozenset[str]:
        """The ids of all its drills."""
        return frozenset(self._ids)

    def is_over(self) -> bool:
        """Whether every drill of the campaign that has begun has ended, and no other is to begin."""
        return not (self._begun - self._ended.keys()) and not self.waiting()

    def news(self, event: DrillEvent) -> DrillEvent:
        """The campaign's event after one of its drills has ended."""
        said = f"{len(self._ended)} of {len(self._ids)} drills ended; {_line(event)}"
        return self._event(phase="observing", reason=said)

    def final(self) -> DrillEvent:
        """The campaign's last event: the worst of its drills' verdicts, and each of them."""
        events = list(self._ended.values())
        if self.stopped:
            return self._event(phase="aborted", verdict="aborted", reason=self.stopped, **_together(events))
        errors = sum(map(_is_error, events))
        said = (
            f"{len(events)} of {len(self._ids)} drills ran, {errors} were not passed; the seed is {self.accepted.seed}"
        )
        if self._is_spent():
            said += f"; it ends here, because its error_budget is {self.campaign.error_budget}"
        return self._event(phase="completed", verdict=_verdict(events), reason=said, **_together(events))

    def _is_spent(self) -> bool:
        return sum(map(_is_error, self._ended.values())) > self.campaign.error_budget

    def _event(self, **more: object) -> DrillEvent:
        return bounded(msgspec.structs.replace(self.accepted, at=now_ms(), params=None, **more))


def _verdict(events: Iterable[DrillEvent]) -> Verdict:
    verdicts = {event.verdict for event in events}
    if "failed" in verdicts:
        return "failed"
    return "passed" if verdicts == {"passed"} else "unknown"


def _is_error(event: DrillEvent) -> bool:
    """Whether it counts against the budget. A drill that was called off, or whose runner ended, says nothing."""
    if event.verdict == "aborted":
        return (event.reason or "").startswith(_OWN_CONDITION)
    return event.verdict != "passed"


def _together(events: list[DrillEvent]) -> dict[str, object]:
    rtos = [event.rto_ms for event in events if event.rto_ms is not None]
    return {
        "findings": [_line(event) for event in events] or None,
        "rto_ms": max(rtos, default=None),
        "lost": sum(event.lost or 0 for event in events),
        "duplicated": sum(event.duplicated or 0 for event in events),
        "out_of_order": sum(event.out_of_order or 0 for event in events),
        **{name: _worst(events, name) for name in ("injected", "held", "undone")},
    }


def _worst(events: list[DrillEvent], name: str) -> Check | None:
    seen = {getattr(event, name) for event in events}
    return next((check for check in _WORST if check in seen), None)


def _line(event: DrillEvent) -> str:
    mark = event.verdict if event.verdict in {"passed", "failed"} else "unknown"
    why = f": {event.reason}" if event.reason else ""
    rto = f", rto {event.rto_ms:.0f} ms" if event.rto_ms is not None else ""
    return f"{mark}: {event.drill_id} ({event.drill}) {event.verdict}{rto}{why}"
