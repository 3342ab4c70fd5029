"""The base of faults on the network: the proxy's toxic on all clients' connections, or on those of one worker."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Process, Target
from drills.faults.process_handle import start_time
from drills.faults.renewal import Renewal
from drills.faults.running_system import RunningSystem
from drills.faults.workers import TARGETS, WorkerFault
from drills.params import Param
from standfast.core.errors import ClusterError, DrillRejected
from standfast.core.network import probing, routes
from standfast.core.network.routes import Route
from standfast.core.network.toxics import Answer, Direction, Question, Reach, Toxic, ToxicSeen, ask

UNDO = "the proxy takes the toxic away; it does so by itself after 10 s in which nobody renewed it"
LASTS = Param("lasts_s", 10.0, "how long it lasts at most", 0.1, 300)
BROKER = Param("broker", 0, "only connections with the broker of that id; 0: with every broker", 0, 1000)
WAY = Param(
    "way",
    "both",
    "which way is disturbed: requests (to the broker), answers (from it), or both",
    choices=("both", "requests", "answers"),
)
DIRECTIONS: dict[str, Direction] = {"both": "both", "requests": "to_server", "answers": "to_client"}
NETWORK_TARGETS = {**TARGETS, "worker": f"{TARGETS['worker']}; without any target: every client"}
_ROLE = "network"
_POLL_S = 0.02
PROBE_S = 1.0  # for a broker's answer


class NetworkFault(WorkerFault):
    """Adds a toxic and renews it. Another kind of toxic overrides `toxic` and `shows`."""

    name = "network"
    done = "is disturbed"

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        super().__init__(system, aim)
        self._id = uuid.uuid4().hex
        self._renewal = Renewal(self._id)
        self._until = float("inf")

    def toxic(self, toxic_id: str, reaches: tuple[Reach, ...]) -> Toxic:
        """What the proxy is to do."""
        raise NotImplementedError

    def shows(self, seen: ToxicSeen) -> str:
        """What shows that the toxic is felt, in words; empty as long as nothing does."""
        return f"{seen.waiting} bytes are held back" if seen.waiting else ""

    def routes(self) -> list[Route]:
        """The routes that are disturbed; raises DrillRejected if there are none."""
        wanted = int(self.aim.params.get("broker", 0))
        mine = [route for route in kafka_routes() if wanted in {0, int(route.name.removeprefix("kafka-"))}]
        if not mine:
            raise DrillRejected(f"there is no broker {wanted}; there are: {', '.join(r.name for r in kafka_routes())}")
        return mine

    def reaches(self, target: Target) -> tuple[Reach, ...]:
        """Which connections are disturbed: the worker's, or everybody's."""
        clients = tuple(process.pid for process in target.processes) if target.what == "worker" else ()
        direction = DIRECTIONS[str(self.aim.params.get("way", "both"))]
        return tuple(Reach(route.name, clients, direction) for route in self.routes())

    def choose(self) -> Target:
        """The worker whose connections are disturbed; without a target the proxy, through which all of them go."""
        self.routes()
        proxy = self._proxy()
        if TARGETS.keys() & self.aim.target.keys():
            target = super().choose()
        else:
            hit = tuple(tuple(sorted(self.system.partitions(worker))) for worker in self.system.workers())
            target = Target(_ROLE, (proxy,), hit)
        self.target = replace(target, gone=(), before={"toxic": self._id})
        return self.target

    def inject(self) -> Fault:
        """Adds the toxic; raises DrillRejected if the proxy refuses it, or the worker has ended."""
        for handle in self.held:
            if handle.dead_within(0):
                raise DrillRejected(f"{self.target.named} ended by itself before the fault")
        at = time.monotonic()
        refused = ask(Question(add=self.toxic(self._id, self.reaches(self.target)))).error
        if refused:
            raise DrillRejected(f"nothing was injected: the network proxy refuses it ({refused})")
        self._renewal.start()
        self._until = at + float(self.aim.params["lasts_s"])
        return self.target.struck(self.name, at)

    def injected(self, within_s: float) -> Finding:
        """Whether the proxy applies the toxic, and bytes or connections show it."""
        deadline = time.monotonic() + within_s
        while True:
            seen = self._seen()
            if seen is None:
                return Finding("failed", f"the network proxy does not apply the fault {self.name}")
            if shown := self.shows(seen):
                where = f"{seen.connections} connections of {self.target.named}"
                return Finding("passed", f"{where} are disturbed: {shown}")
            if time.monotonic() > deadline:
                return Finding("failed", f"{seen.connections} connections show nothing of it within {within_s:g} s")
            time.sleep(_POLL_S)

    def lasted(self) -> bool:
        """Whether `lasts_s` are over, or the toxic has ended."""
        return time.monotonic() > self._until or self._renewal.is_over

    def undo(self) -> None:
        """Removes the toxic."""
        self._until = time.monotonic()
        self._renewal.stop()
        ask(Question(remove=(self._toxic_id,)))

    def undone(self) -> Finding:
        """Whether the proxy applies the toxic no more, each broker answers through it, and the worker serves."""
        try:
            seen = self._seen()
        except ClusterError as error:
            return Finding("unknown", str(error))
        if seen is not None:
            return Finding("failed", f"the network proxy still applies the fault {self.name}")
        dumb = self.unreached()
        if dumb:
            return Finding("failed", f"nothing is held back, and {', '.join(dumb)} cannot be reached")
        if self.target.what != "worker":
            return Finding("passed", "nothing is held back, and every broker answers through the proxy")
        return super().undone()

    def unreached(self) -> list[str]:
        """The brokers that do not answer through the proxy."""
        return [route.name for route in kafka_routes() if probing.answer_s(route.front, PROBE_S) is None]

    def probed(self, within_s: float) -> tuple[str, float | None]:
        """The first of the disturbed routes, and how long a question took there; None without an answer in time."""
        route = self.routes()[0]
        return route.name, probing.answer_s(route.front, within_s)

    def may_serve(self, victim: Process, pid: int) -> bool:  # noqa: ARG002
        """Any process: the worker that was cut off may have been replaced or not."""
        return True

    def resume(self, target: Target) -> Finding:
        """`passed` if the proxy applies the toxic; `unknown` if not, because it may have ended since."""
        super().resume(target)
        self._until = time.monotonic()
        try:
            seen = self._seen()
        except ClusterError as error:
            return Finding("unknown", str(error))
        if seen is None:
            return Finding("unknown", f"the network proxy does not apply {self.name} now; whether it did nobody saw")
        return Finding("passed", f"{seen.connections} connections of {target.named} are disturbed")

    def close(self) -> None:
        """Renews the toxic no more."""
        self._renewal.stop()
        super().close()

    @property
    def _toxic_id(self) -> str:
        return str(self.target.before.get("toxic", self._id))

    def _seen(self) -> ToxicSeen | None:
        answer: Answer = ask(Question())
        return answer.seen(self._toxic_id)

    def _proxy(self) -> Process:
        pids = {row.id: row.pid for row in self.system.status().roles if row.state == "running"}
        try:
            return Process(_ROLE, pids[_ROLE], start_time(pids[_ROLE]))
        except (KeyError, OSError):
            raise DrillRejected("the network proxy does not run; see: standfast status") from None


def kafka_routes() -> list[Route]:
    """The routes of clients to brokers; raises DrillRejected if there is no proxy in the way."""
    there = [route for route in routes.kept() if route.name.removeprefix("kafka-").isdecimal()]
    if not there:
        raise DrillRejected(
            "the network cannot be disturbed: this system runs without the proxy; restart it with "
            "STANDFAST_DRILLS__NETWORK=true (its own Kafka only)"
        )
    return there
