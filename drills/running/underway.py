"""The drills that run now, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drills.running.execution import Execution
from drills.running.hosts import merged
from drills.running.ordered_fault import OrderedFault
from drills.running.orders import Orders
from drills.running.plan import Plan
from drills.safety.limits import Victims
from schemas.codec import Encoding
from schemas.records import DrillEvent
from standfast.core.errors import DrillError, DrillRejected
from standfast.core.settings import Settings

UNDO_WHEN_ABORTED_S = 20.0  # for the undo after an abort
_JOIN_WITHIN_S = 2.0  # for the thread of a drill that still runs at the end


@dataclass(frozen=True, slots=True)
class Start:
    """A drill that is accepted and begins once its `accepted` is written."""

    plan: Plan
    victims: Victims
    faults: Sequence[OrderedFault]
    encoding: Encoding


@dataclass(slots=True)
class Running:
    """One of them.

    Args:
        victims: those of its first fault, as they were when it was accepted.
        encoding: that of its command, and so of its events.
        aborted_by: the command that stops it; "" if none does.
        by_lever: the lever stops it.
    """

    execution: Execution
    victims: Victims
    encoding: Encoding
    aborted_by: str = ""
    by_lever: bool = False

    @property
    def plan(self) -> Plan:
        """Its plan."""
        return self.execution.plan


class Underway:
    """All of them by id. `stop_all` may be called from any thread, everything else from the runner's alone."""

    def __init__(self, settings: Settings, orders: Orders, emit: Callable[[DrillEvent], None]) -> None:
        self._settings = settings
        self._orders = orders
        self._emit = emit
        self._drills: dict[str, Running] = {}

    def __bool__(self) -> bool:
        """Whether any drill runs."""
        return bool(self._drills)

    def strikes(self) -> bool:
        """Whether a drill is between the announcement of a fault and the event that tells its injection."""
        return any(running.execution.is_striking for running in self._drills.values())

    def get(self, drill_id: str) -> Running | None:
        """The running drill of that id."""
        return self._drills.get(drill_id)

    def all(self) -> list[Running]:
        """All running drills, the oldest first."""
        return list(self._drills.values())

    def refuse_if_full(self) -> None:
        """Raises DrillRejected if as many drills run as may run at once."""
        if len(self._drills) < self._settings.drills.at_once:
            return
        ids = list(self._drills)
        raise DrillRejected(
            f'busy with {", ".join(ids)}; wait for its last event, or send {{"abort": "{ids[0]}"}}'
            + (f"; drills.at_once is {self._settings.drills.at_once}" if len(ids) > 1 else "")
        )

    def is_system_ready(self) -> bool:
        """Whether every host of the system is ready, wherever this runner is."""
        status = merged(self._orders.hosts.statuses())
        return status is not None and status.state == "ready"

    def begin(self, start: Start) -> None:
        """Starts a drill; raises whatever prevents its thread from starting."""
        orders = self._orders
        execution = Execution(
            start.plan, self._settings, self._emit, start.faults, orders.hosts.statuses, lambda: orders.is_replaced
        )
        execution.start()
        self._drills[start.plan.drill_id] = Running(execution, start.victims, start.encoding)

    def forget(self, drill_id: str) -> None:
        """Its final event is written."""
        self._drills.pop(drill_id, None)

    def abort(self, drill_id: str, command_id: str) -> None:
        """Stops the drill of that id, or all for `*`; raises DrillRejected if there is none that can be stopped."""
        chosen = [running for running in self.all() if drill_id in ("*", running.plan.drill_id)]
        if not chosen:
            ids = ", ".join(self._drills)
            running_now = f"{ids} {'are' if len(self._drills) > 1 else 'is'} running" if ids else "none is running"
            raise DrillRejected(f"there is no drill {drill_id[:130]!r} to abort; {running_now}")
        going_on = [running for running in chosen if not running.aborted_by and not running.by_lever]
        if not going_on:
            first = chosen[0]
            by = f"the command {first.aborted_by}" if first.aborted_by else "the lever"
            raise DrillRejected(f"{first.plan.drill_id} is being stopped already, by {by}")
        for running in going_on:
            running.aborted_by = command_id
            running.execution.stop(f"stopped by the command {command_id}", UNDO_WHEN_ABORTED_S)

    def stop_all(self, why: str) -> None:
        """Stops every drill that the lever has not stopped before. A second stop would break off the undo."""
        for running in self.all():
            if not running.by_lever and not running.aborted_by:
                running.by_lever = True
                running.execution.stop(why, UNDO_WHEN_ABORTED_S)

    def end(self, why: str, undo_within_s: float) -> None:
        """Stops every drill, because the runner ends."""
        for running in self.all():
            running.execution.stop(why, undo_within_s)

    def join(self) -> None:
        """Waits for the threads' ends, at most `_JOIN_WITHIN_S` for each."""
        for running in self.all():
            running.execution.join(_JOIN_WITHIN_S)

    def refuse_if_any_hangs(self, after_s: float) -> None:
        """Raises DrillError if a drill is overdue by more than that."""
        for running in self.all():
            if running.execution.overdue_s > after_s:
                raise DrillError(
                    f"{running.plan.drill_id} should have ended {running.execution.overdue_s:.0f} s ago and hangs; it "
                    "is ended, and no other can begin before, so the drill runner starts anew"
                )
