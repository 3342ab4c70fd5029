"""Orders that reach a fault's thread in this process, without Kafka, in place of `drills.running.orders.Orders`."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import msgspec

from consumers.service import service
from drills.agent.held_fault import HeldFault, left_behind
from drills.agent.messages import FaultName, FaultOrder, FaultReport, boot
from drills.faults import fault_named
from drills.faults.running_system import RunningSystem
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus

HOST = "here-1"
TOPIC = "x.drills.orders"


class PaperHosts:
    """One host, which may have any target; `seen` is what the hosts' statuses say."""

    def __init__(self) -> None:
        self.seen: dict[str, SystemStatus] = {}

    def statuses(self) -> dict[str, SystemStatus]:
        return self.seen

    def candidates(self, *_: object) -> list[str]:
        return [HOST]


class PaperOrders:
    """The agent's threads are real; `is_silent` makes the agent deaf."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.hosts = PaperHosts()
        self.lease_s = 10.0
        self.past: dict[FaultName, FaultReport] = {}
        self.is_silent = False
        self.asked: list[FaultOrder] = []
        self.reported: list[FaultReport] = []
        self.faults: dict[FaultName, HeldFault] = {}
        self._asks = itertools.count(1)
        self._reports: dict[FaultName, FaultReport] = {}
        self._changed = threading.Condition()

    def ask(self, order: FaultOrder) -> int:
        numbered = msgspec.structs.replace(order, runner="r", ask=next(self._asks), lease_s=self.lease_s)
        self.asked.append(numbered)
        if not self.is_silent:
            self._held(numbered).obey(numbered)
        return numbered.ask

    def report(self, name: FaultName) -> FaultReport | None:
        return self._reports.get(name)

    def awaited(self, name: FaultName, is_answer: Callable[[FaultReport], bool], within_s: float) -> FaultReport | None:
        deadline = time.monotonic() + (0.2 if self.is_silent else within_s)
        with self._changed:
            while not ((report := self._reports.get(name)) is not None and is_answer(report)):
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    return None
            return report

    def forget(self, name: FaultName) -> None:
        self._reports.pop(name, None)
        if name in self.faults:
            self.faults.pop(name).close()

    def _held(self, order: FaultOrder) -> HeldFault:
        if order.name not in self.faults:
            kind = fault_named(order.fault)
            system = RunningSystem(self.settings, service(order.service, self.settings))
            injector = kind.make(system, kind.aim(order.aim.target, order.aim.params, order.aim.seed))
            first = FaultReport(name=order.name, ask=0, state="chosen", boot=boot())
            if order.wanted == "undone" and order.target is not None:
                first = left_behind(order.name, order.target, "")
            self.faults[order.name] = HeldFault(injector, first, TOPIC, self._take)
            self.faults[order.name].start()
        return self.faults[order.name]

    def _take(self, report: FaultReport, _and_wait: bool = False) -> None:
        with self._changed:
            self.reported.append(report)
            self._reports[report.name] = report
            self._changed.notify_all()
