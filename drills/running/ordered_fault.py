"""A fault as the runner sees it: an injector that lets the agent of the victim's host do the work."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import structs

from consumers.service import Service
from drills.agent.messages import FaultName, FaultOrder, FaultReport, Wanted, boot
from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Target
from drills.running.orders import Orders
from drills.running.plan import PlannedFault
from standfast.core.errors import ClusterError, DrillError, DrillRejected

_CHOSEN_WITHIN_S = 5.0  # for the agent to choose the victims; it may have to ask Kafka
_AGAIN_WITHIN_S = 120.0  # for the next agent, where the fault has ended the first one with its host
_INJECTED_WITHIN_S = 15.0  # a host is killed only once all its processes have ended


class OrderedFault:
    """One fault of a drill, made by an agent. `host` is empty until an agent has chosen the victims."""

    def __init__(self, orders: Orders, drill_id: str, planned: PlannedFault, service: Service, host: str = "") -> None:
        self._orders = orders
        self._drill_id = drill_id
        self._planned = planned
        self._service = service
        self._undo_ask = -1
        self._target: Target | None = None
        self.host = host

    def choose(self) -> Target:
        """The victims, from the first host whose agent finds some; raises DrillRejected with the agents' reason."""
        aim = self._planned.aim
        hosts = [self.host] if self.host else self._orders.hosts.candidates(self._service, aim.target, aim.seed)
        reasons = []
        for host in hosts:
            report = self._asked(host, "chosen", _CHOSEN_WITHIN_S)
            if report is not None and report.state == "chosen" and report.target is not None:
                self.host, self._target = host, report.target
                return report.target
            reasons.append(report.reason if report is not None else self._silence(host, _CHOSEN_WITHIN_S))
            if not self.host:
                self._orders.forget(self._name(host))
        raise DrillRejected(reasons[0] if reasons else "no host has what the drill is to strike; see: standfast status")

    def inject(self) -> Fault:
        """Lets the agent inject the fault; raises DrillRejected if it did nothing.

        The victims are chosen anew for a fresh ticket. The fault's start is the agent's if both run on one machine, or
        else the moment of the order, which is earlier: the recovery may then seem longer than it was, never shorter.
        """
        self.choose()
        chosen = self._orders.report(self._name(self.host))
        ordered_at = time.monotonic()
        report = self._asked(self.host, "injected", _INJECTED_WITHIN_S, chosen.ticket if chosen is not None else "")
        if report is None:
            raise ClusterError(
                f"whether it injected the fault is not known: {self._silence(self.host, _INJECTED_WITHIN_S)}"
            )
        if report.state == "refused":
            raise DrillRejected(f"nothing was injected: {report.reason}")
        if report.struck is None:
            raise DrillError(report.reason or f"the fault agent on {self.host} undid the fault at once")
        return report.struck if report.boot and report.boot == boot() else structs.replace(report.struck, at=ordered_at)

    def injected(self, within_s: float) -> Finding:
        """Whether the agent saw that the fault took effect."""
        within_s = _AGAIN_WITHIN_S if self._planned.kind.ends_agent else within_s + 1.0
        report = self._orders.awaited(self._name(self.host), lambda seen: seen.injection is not None, within_s)
        if report is None or report.injection is None:
            return Finding("unknown", self._silence(self.host, within_s))
        return report.injection

    def lasted(self) -> bool:
        """Whether the fault has lasted as long as it is meant to, or its agent has undone it."""
        report = self._orders.report(self._name(self.host))
        return report is not None and report.lasted

    def response(self) -> Finding | None:
        """How the system met the fault, as its agent saw it before the undo; None where the answers alone show it."""
        report = self._orders.report(self._name(self.host))
        return report.response if report is not None else None

    def undo(self) -> None:
        """Orders the undo; the agent tries until it succeeds."""
        if self._undo_ask < 0:
            self._undo_ask = self._orders.ask(self._order(self.host, "undone", ""))

    def undone(self) -> Finding:
        """What the agent last saw of the fault after the order to undo it."""
        report = self._orders.report(self._name(self.host))
        if report is None or report.ask != self._undo_ask or report.undone is None:
            lease = f"the fault ends by its lease of {self._orders.lease_s:g} s at the latest"
            return Finding("unknown", f"the fault agent on {self.host} has not said what is left; {lease}")
        text = report.undone.text
        return Finding(report.undone.check, f"{text} ({report.reason})" if report.reason else text)

    def resume(self, target: Target) -> Finding:
        """Orders the undo of a fault that a dead runner had ordered; returns whether it was injected."""
        self._target = target
        before = self._orders.past.get(self._name(self.host))
        if before is not None and before.injection is not None and before.injection.check == "passed":
            self.undo()
            return before.injection
        self.undo()
        ask = self._undo_ask
        report = self._orders.awaited(self._name(self.host), lambda seen: seen.ask == ask, _CHOSEN_WITHIN_S)
        if report is None:
            return Finding("unknown", self._silence(self.host, _CHOSEN_WITHIN_S))
        if report.injection is not None:
            return report.injection
        if report.struck is not None:
            return Finding("unknown", f"{target.named} was struck; whether it took effect nobody saw")
        return Finding("unknown", f"the fault agent on {self.host} knows nothing of the fault")

    def close(self) -> None:
        """Ends the orders; the agent still undoes the fault if it lasts."""
        if self.host:
            self._orders.forget(self._name(self.host))

    def _asked(self, host: str, wanted: Wanted, within_s: float, ticket: str = "") -> FaultReport | None:
        ask = self._orders.ask(self._order(host, wanted, ticket))
        return self._orders.awaited(self._name(host), _answers(ask), within_s)

    def _order(self, host: str, wanted: Wanted, ticket: str) -> FaultOrder:
        return FaultOrder(
            runner="",
            name=self._name(host),
            service=self._service.name,
            fault=self._planned.kind.name,
            aim=self._planned.aim,
            wanted=wanted,
            ask=0,
            lease_s=0.0,
            ticket=ticket,
            target=self._target if wanted == "undone" else None,
        )

    def _name(self, host: str) -> FaultName:
        return FaultName(drill_id=self._drill_id, number=self._planned.number, host=host)

    def _silence(self, host: str, seconds: float) -> str:
        return f"the fault agent on {host} did not answer within {seconds:g} s; see `standfast status` there"


def _answers(ask: int) -> Callable[[FaultReport], bool]:
    return lambda report: report.ask == ask
