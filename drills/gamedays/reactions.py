"""What people did on a game day, and how long after the fault. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas.records import Scalar

TIMED: Final = {"ack": "acknowledged", "decided": "decided what to do", "fixed": "said it is fixed"}


@dataclass(frozen=True, slots=True)
class Reaction:
    """One thing that somebody did. `after_ms` counts from the fault; None: there was none yet."""

    action: str
    by: str
    team: str
    text: str
    after_ms: int | None

    @property
    def who(self) -> str:
        """The person and the team."""
        return f"{self.by} ({self.team})" if self.team else self.by

    @property
    def said(self) -> str:
        """The same in words."""
        what = TIMED.get(self.action, "noted")
        when = f"{self.after_ms / 1000:.1f} s after the fault" if self.after_ms is not None else "before any fault"
        return f"{self.who} {what} {when}" + (f": {self.text}" if self.text else "")

    def fields(self) -> dict[str, Scalar]:
        """The same for an event's `params`."""
        return {
            "action": self.action, "by": self.by, "team": self.team, "text": self.text, "after_ms": self.after_ms
        }  # fmt: skip


def reaction(params: Mapping[str, Scalar]) -> Reaction | None:
    """The reaction in an event's `params`; None if there is none."""
    if not {"action", "by", "team", "text", "after_ms"} <= params.keys():
        return None
    after = params["after_ms"]
    action, by, team, text = (str(params[name]) for name in ("action", "by", "team", "text"))
    return Reaction(action, by, team, text, after if isinstance(after, int) else None)


def times(reactions: Iterable[Reaction]) -> dict[str, Scalar]:
    """The first time of each kind after the fault, in milliseconds: `ack_ms`, `decided_ms`, `fixed_ms`."""
    first: dict[str, Scalar] = {}
    for each in reactions:
        name = f"{each.action}_ms"
        if each.action in TIMED and each.after_ms is not None and name not in first:
            first[name] = each.after_ms
    return first


def findings(reactions: list[Reaction]) -> list[str]:
    """A line for each person and team with their times, and one for each thing that nobody did."""
    lines: list[str] = []
    for who in dict.fromkeys(each.who for each in reactions):
        mine = [each for each in reactions if each.who == who and each.action in TIMED and each.after_ms is not None]
        if mine:
            did = ", ".join(f"{TIMED[each.action]} after {(each.after_ms or 0) / 1000:.1f} s" for each in mine)
            lines.append(f"passed: {who} {did}")
    seen = {each.action for each in reactions if each.after_ms is not None}
    return lines + [f"unknown: nobody {what}" for action, what in TIMED.items() if action not in seen]
