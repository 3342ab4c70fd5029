"""One fault of a running drill: its choice, its injection, its undo, and what was seen of each."""

from __future__ import annotations

import time
from collections.abc import Iterable

from consumers.service import Service
from drills.agent.undoing import Undoing
from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Injector, Target, response_of
from drills.running.choice import Statuses, chosen
from drills.running.plan import Plan, PlannedFault
from standfast.core.errors import DrillRejected

_CHECK_EVERY_S = 0.1  # a check reads the system's status and may ask Kafka


class Strike:
    """`injection` is None until the fault may have been injected, `undone` until the undo was checked."""

    def __init__(
        self, planned: PlannedFault, plan: Plan, service: Service, injector: Injector, statuses: Statuses
    ) -> None:
        self.planned = planned
        self.target: Target | None = None
        self.fault: Fault | None = None
        self.injection: Finding | None = None
        self.undone: Finding | None = None
        self.healed_at = float("inf")  # monotonic
        self.injector = injector
        self._limits = plan.limits
        self._service = service
        self._statuses = statuses
        self._undoing = Undoing(self.injector, plan.drill_id)
        self._checked_at = float("-inf")

    @property
    def lasts(self) -> bool:
        """Whether the fault was injected and is not seen to be undone."""
        return self.injection is not None and (self.undone is None or self.undone.check != "passed")

    def choose(self, others: Iterable[Strike]) -> Target:
        """The victims, the same ones each time; raises DrillRejected, also where they exceed the drill's limits."""
        still_struck = [strike.target for strike in others if strike.lasts and strike.target is not None]
        self.target = chosen(self.injector, self._service, self._statuses, self._limits, still_struck)
        return self.target

    def inject(self) -> Fault:
        """Injects the fault; raises DrillRejected if nothing was done."""
        self.injection = Finding("unknown", "whether the fault was injected is not known")
        try:
            self.fault = self.injector.inject()
        except DrillRejected:
            self.injection = None
            raise
        return self.fault

    def check_injection(self, within_s: float) -> Finding:
        """Whether the fault took effect; blocks for at most `within_s`."""
        self.injection = self.injector.injected(within_s)
        return self.injection

    def is_healed(self) -> bool:
        """Undoes the fault, if that has not succeeded yet, and returns whether nothing is left of it.

        It does so at most ten times a second; in between it returns what it found last.
        """
        if time.monotonic() - self._checked_at >= _CHECK_EVERY_S:
            self.undone = self._undoing.undo_and_check()
            self._checked_at = time.monotonic()
            if self.undone.check == "passed":
                self.healed_at = min(self.healed_at, self._checked_at)
        return self.undone is not None and self.undone.check == "passed"

    @property
    def response(self) -> Finding | None:
        """How the system met the fault, where only the fault can tell; known once it is undone."""
        return response_of(self.injector)

    @property
    def host(self) -> str:
        """The host whose agent makes the fault; "" while none is chosen."""
        return getattr(self.injector, "host", "")

    def close(self) -> None:
        """Releases the victims' handles."""
        self.injector.close()
