"""SIGSTOP of a broker, and SIGCONT: its connections stay open, and it answers nothing."""

from __future__ import annotations

import contextlib
import time
from signal import SIGCONT, SIGSTOP

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.asking import broker_in_role
from drills.faults.brokers import BrokerFault
from drills.faults.injector import Kind, Process, Target
from drills.params import Param
from drills.targets import BROKER_TARGETS
from standfast.core.errors import DrillRejected

_POLL_S = 0.005


class FreezeBroker(BrokerFault):
    """Stops the broker; it goes on after `at_most_s`, unless its supervisor has killed it before that."""

    name = "broker-freeze"
    signal = SIGSTOP
    _until = 0.0

    def victim(self) -> int:
        """The id of the broker that the aim names, else of a random leader."""
        return broker_in_role(self.system, self.aim, self.random)

    def inject(self) -> Fault:
        """Stops the broker, for `at_most_s` seconds."""
        fault = super().inject()
        self._until = fault.at + float(self.aim.params["at_most_s"])
        return fault

    def injected(self, within_s: float) -> Finding:
        """Whether the process is stopped."""
        deadline = time.monotonic() + within_s
        while self.held is not None and time.monotonic() < deadline:
            if self.held.is_stopped():
                return Finding("passed", f"{self.target.named} stands still")
            time.sleep(_POLL_S)
        return Finding("failed", f"{self.target.named} still runs {within_s:g} s after SIGSTOP")

    def lasted(self) -> bool:
        """Whether `at_most_s` is over, or the process has ended."""
        return time.monotonic() > self._until or self.held is None or self.held.dead_within(0)

    def undo(self) -> None:
        """Sends SIGCONT, if the process still exists."""
        if self.held is not None:
            with contextlib.suppress(DrillRejected):
                self.held.signal(SIGCONT)

    def may_run(self, victim: Process, pid: int) -> bool:
        """Whether it is another process, or the victim itself after SIGCONT."""
        return pid != victim.pid or (self.held is not None and not self.held.is_stopped())

    def resume(self, target: Target) -> Finding:
        """`passed` if it is still stopped; `unknown` if not, because it may have been continued since."""
        super().resume(target)
        if self.held is not None and self.held.is_stopped():
            return Finding("passed", f"{target.named} stands still")
        return Finding("unknown", f"{target.named} does not stand still now; whether it did nobody saw")


FREEZE = Kind(
    "broker-freeze",
    "SIGSTOP of a partition's leader",
    FreezeBroker,
    targets=BROKER_TARGETS,
    undo="the broker goes on (SIGCONT); the drill checks that it does, that Kafka answers and every copy is in sync",
    params=(Param("at_most_s", 8.0, "it goes on after so long", 0.1, 300),),
    figure=None,
)
