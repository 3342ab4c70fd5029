"""The seam between faults and whoever uses them, drills and the benchmark: what each fault does, and is known by."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from drills.drill import Drill, Param, Value, checked
from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.running_system import RunningSystem
from schemas.records import Scalar

# How `bench failover` judges it (`drills.evidence.recovery`): by the first answer of somebody else, by the same from
# when the model is loaded again, or by the longest pause.
Figure = Literal["answer", "answer from load", "pause"]


@dataclass(frozen=True, slots=True)
class Process:
    """One process and when it started, so that another one with its pid is never taken for it."""

    id: str
    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class Target:
    """Who is struck: plain data, so that it can be written down.

    Args:
        what: what the processes are: `worker`, `broker`, `supervisor` or `host`.
        processes: those that are struck themselves.
        hit: for each victim the partitions of the request topic that it serves; the first processes are theirs.
        gone: pids that end with the fault; the system is not whole while its status names one.
        standbys: how many were ready when this was chosen.
    """

    what: str
    processes: tuple[Process, ...]
    hit: tuple[tuple[int, ...], ...]
    gone: tuple[int, ...] = ()
    standbys: int = 0

    @property
    def partitions(self) -> tuple[int, ...]:
        """All partitions of the request topic that are hit."""
        return tuple(sorted({partition for one in self.hit for partition in one}))

    @property
    def named(self) -> str:
        """The processes in words."""
        return ", ".join(f"{process.id} (process {process.pid})" for process in self.processes) or f"the {self.what}"

    def shown(self, topic: str) -> dict[str, Scalar]:
        """What the outcome stream says of it."""
        pids = [process.pid for process in self.processes]
        return {
            self.what: ",".join(process.id for process in self.processes),
            "pid": pids[0] if len(pids) == 1 else ",".join(map(str, pids)),
            "topic": topic,
            "partitions": ",".join(map(str, self.partitions)),
        }

    def struck(self, name: str, at: float) -> Fault:
        """That it was struck at that instant; call it right after the last signal was sent.

        A process may go on for some microseconds after SIGKILL: the millisecond in hand and the next are still its own,
        and nobody takes over as soon as that.
        """
        written_after_ms = time.time_ns() // 1_000_000 + 1
        victims = tuple(frozenset(one) for one in self.hit)
        return Fault(at, frozenset(self.partitions), name, victims, written_after_ms)


@dataclass(frozen=True, slots=True)
class Aim:
    """Whom to strike, the fault's own parameters, and what is left to chance: the same seed chooses the same."""

    target: Mapping[str, Scalar] = field(default_factory=dict)
    params: Mapping[str, Value] = field(default_factory=dict)
    seed: int = 0


class Injector(Protocol):
    """One fault about to be made, in the order of its methods. All raise DrillRejected for what cannot be done."""

    def choose(self) -> Target:
        """Who is struck. Asked again it gives the same victims as they are by then; rejected if one was replaced."""

    def inject(self) -> Fault:
        """Makes the fault, and returns when that was and whom it hit. Rejected: nothing was done."""

    def injected(self, within_s: float) -> Finding:
        """Whether it struck, by what can be seen of it; blocks for so long at most."""

    def lasted(self) -> bool:
        """Whether it has lasted as long as it is meant to; `undo` may come sooner."""

    def undo(self) -> None:
        """Takes the fault away, as far as the system does not heal it itself; called again it does no harm."""

    def undone(self) -> Finding:
        """Whether nothing is left of it, as it is now."""

    def resume(self, target: Target) -> Finding:
        """Takes the place of a process that ended after it chose this target; call it instead of `choose`.

        It says whether the fault struck, as far as that can be seen now; `undo` and `undone` follow. A process is the
        target's only where both its pid and its start time are as written.
        """

    def close(self) -> None:
        """Lets go of what was held; the fault stays as it is."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Args:
        name: what it is called in histories and by `bench failover --strike`.
        says: what it does, in a line.
        make: one such fault, on that scene.
        params: its own parameters.
        figure: what `bench failover` judges it by.
        brokers: it needs a system of its own with so many; None: it suits a running one.
        hosts: one of so many is hit.
        drill: the drill that makes it, if there is one.
    """

    name: str
    says: str
    make: Callable[[RunningSystem, Aim], Injector]
    params: tuple[Param, ...] = ()
    figure: Figure = "answer"
    brokers: int | None = None
    hosts: int = 1
    drill: Drill | None = None

    def aim(
        self, target: Mapping[str, Scalar] | None = None, params: Mapping[str, Scalar] | None = None, seed: int = 0
    ) -> Aim:
        """An aim for it; raises DrillRejected for a parameter that it does not have, or a wrong value."""
        return Aim(dict(target or {}), checked(params or {}, self.params, self.name), seed)
