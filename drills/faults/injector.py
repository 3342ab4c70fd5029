"""The interface between faults and their users, drills and the failover benchmark."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.running_system import RunningSystem
from drills.params import Param, Value, checked
from schemas.records import Scalar

# What `bench failover` measures of a fault (`drills.evidence.recovery`): the time to the first answer of a successor,
# the same but counted from when the model is loaded again, or the longest pause.
Figure = Literal["answer", "answer from load", "pause"]


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `started`, in clock ticks since boot, tells it from a later process with the same pid."""

    id: str
    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class Target:
    """The victims of a fault, as plain data that an intent can hold.

    Args:
        what: what the processes are, such as `worker` or `broker`; or who is struck where it is no process: `machine`.
        processes: the processes that are struck; those that serve partitions come first, in the order of `hit`.
        hit: the request partitions of each process that serves some.
        gone: pids that end with the fault; the system has not recovered while its status names one of them.
        standbys: how many standbys were ready when this was chosen.
        before: what the undo restores, such as a limit or a setting as it was; read when the target is chosen, because
            the undo may be another process's, after this one was killed.
    """

    what: str
    processes: tuple[Process, ...]
    hit: tuple[tuple[int, ...], ...]
    gone: tuple[int, ...] = ()
    standbys: int = 0
    before: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def partitions(self) -> tuple[int, ...]:
        """All partitions of the request topic that are hit, sorted."""
        return tuple(sorted({partition for partitions in self.hit for partition in partitions}))

    @property
    def named(self) -> str:
        """The processes, for messages."""
        return ", ".join(f"{process.id} (process {process.pid})" for process in self.processes) or f"the {self.what}"

    def shown(self, topic: str) -> dict[str, Scalar]:
        """The target as events of the outcome stream give it; `topic` is the request topic."""
        place: dict[str, Scalar] = {"topic": topic, "partitions": ",".join(map(str, self.partitions))}
        if not self.processes:  # a fault on a topic or a group
            return place
        pids = [process.pid for process in self.processes]
        return {
            self.what: ",".join(process.id for process in self.processes),
            "pid": pids[0] if len(pids) == 1 else ",".join(map(str, pids)),
            **place,
        }

    def struck(self, name: str, at: float) -> Fault:
        """The fault `name` that hit this target at `at` (monotonic); call this right after the last signal was sent.

        A process may run for some microseconds after SIGKILL, so answers with a timestamp of this millisecond or the
        next count as the victim's. No successor answers as soon as that.
        """
        written_after_ms = time.time_ns() // 1_000_000 + 1
        victims = tuple(frozenset(partitions) for partitions in self.hit)
        return Fault(at, frozenset(self.partitions), name, victims, written_after_ms)


@dataclass(frozen=True, slots=True)
class Aim:
    """The requested target, the fault's own parameters, and the seed for everything that is chosen at random.

    `drill_id` stands in a header of every record that the fault writes, so that dead letters can be told apart by it.
    """

    target: Mapping[str, Scalar] = field(default_factory=dict)
    params: Mapping[str, Value] = field(default_factory=dict)
    seed: int = 0
    drill_id: str = ""


def response_of(injector: object) -> Finding | None:
    """How the system met the fault, from an injector that alone can tell; None for all others."""
    tell = getattr(injector, "response", None)
    found: Finding | None = tell() if tell is not None else None
    return found


class Injector(Protocol):
    """One fault; its methods are called in this order. All raise DrillRejected for what cannot be done.

    An injector that alone can tell how the system met the fault, because no answer shows it, also has a method
    `response() -> Finding`, which is called before `undo` and counts to what the system was to hold.
    """

    def choose(self) -> Target:
        """The victims. A second call returns the same processes as they are then; rejected if one was replaced."""

    def inject(self) -> Fault:
        """Injects the fault and returns its start and partitions. If it raises DrillRejected, nothing was done."""

    def injected(self, within_s: float) -> Finding:
        """Whether the fault took effect; blocks for at most `within_s` seconds."""

    def lasted(self) -> bool:
        """Whether the fault has lasted as long as it is meant to; `undo` may be called before that."""

    def undo(self) -> None:
        """Undoes what the system does not repair by itself; idempotent."""

    def undone(self) -> Finding:
        """Whether nothing is left of the fault now; does not wait."""

    def resume(self, target: Target) -> Finding:
        """Continues for a runner that died after it chose this target; called instead of `choose`.

        Returns whether the fault took effect, as far as that can be seen now; `undo` and `undone` follow. A process
        counts as the target's only if both its pid and its start time are the same.
        """

    def close(self) -> None:
        """Releases handles; the fault stays as it is."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Args:
        name: its name in histories and for `bench failover --strike`.
        says: its description, one line.
        make: constructs the injector of one such fault on a system.
        targets: the keys that a target may have, and whom each names.
        undo: what takes it away, in words.
        params: its own parameters.
        figure: what `bench failover` measures of it; None: it does not measure this fault.
        brokers: the benchmark starts a system of its own with so many brokers; None: it uses the running system.
        hosts: how many supervisors that system has; one of them is hit.
        ends_agent: the fault ends the agent that injects it too, which therefore reports before it strikes.
        least_brokers: on a Kafka with fewer brokers a drill is rejected, because the fault would show nothing there.
    """

    name: str
    says: str
    make: Callable[[RunningSystem, Aim], Injector]
    targets: Mapping[str, str] = field(default_factory=dict)
    undo: str = "nothing is left behind: the supervisor starts the process again; the drill checks that it did"
    params: tuple[Param, ...] = ()
    figure: Figure | None = "answer"
    brokers: int | None = None
    hosts: int = 1
    ends_agent: bool = False
    least_brokers: int = 1

    def aim(
        self,
        target: Mapping[str, Scalar] | None = None,
        params: Mapping[str, Scalar] | None = None,
        seed: int = 0,
        drill_id: str = "",
    ) -> Aim:
        """An aim for this fault; raises DrillRejected for an unknown parameter or a wrong value."""
        return Aim(dict(target or {}), checked(params or {}, self.params, self.name), seed, drill_id)
