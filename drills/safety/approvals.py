"""Drills that wait until a second name approves them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from drills.control.commands import Received
from standfast.core.errors import DrillRejected

_MOST = 100  # waiting at once; each has an event, and a thousand commands at once must not fill the memory


@dataclass(frozen=True, slots=True)
class AwaitedApproval:
    """A drill that waits. `until`: monotonic."""

    command: Received
    until: float


class Approvals:
    """The drills that wait, by id. A runner that starts anew has none: their drills are ended as `aborted`."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._waiting: dict[str, AwaitedApproval] = {}

    def __bool__(self) -> bool:
        """Whether any drill waits."""
        return bool(self._waiting)

    def wait(self, command: Received) -> str:
        """Lets the drill wait and returns in words for whom; raises DrillRejected if nobody could approve it."""
        if not command.by:
            raise DrillRejected("a second name must approve this drill, so say who asks for it: requested_by")
        if len(self._waiting) >= _MOST:
            raise DrillRejected(f"{_MOST} drills wait for approval already")
        self._waiting[command.drill_id] = AwaitedApproval(command, time.monotonic() + self._within_s)
        return (
            f"waits at most {self._within_s:g} s until another than {command.by!r:.100} approves it: "
            f'{{"approve": "{command.drill_id}", "requested_by": "…"}}'
        )

    def approved(self, order: Received) -> Received:
        """The command of the drill that this order approves, which waits no longer; raises DrillRejected."""
        drill_id = order.command.approve or ""
        waiting = self._waiting.get(drill_id)
        if waiting is None:
            raise DrillRejected(f"there is no drill {drill_id[:130]!r} that waits for approval")
        if not order.by:
            raise DrillRejected("say who approves: requested_by")
        if order.by == waiting.command.by:
            raise DrillRejected(f"{order.by!r:.100} asked for {drill_id}, so another name must approve it")
        return self._waiting.pop(drill_id).command

    def withdrawn(self, drill_id: str) -> list[Received]:
        """The command of the drill of that id, or all for `*`, which wait no longer; empty if none does."""
        ids = list(self._waiting) if drill_id == "*" else [drill_id]
        return [self._waiting.pop(name).command for name in ids if name in self._waiting]

    def expired(self) -> list[Received]:
        """Those that nobody has approved in time, which wait no longer."""
        now = time.monotonic()
        late = [name for name, waiting in self._waiting.items() if now > waiting.until]
        return [self._waiting.pop(name).command for name in late]
