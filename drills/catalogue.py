"""Every drill there is: what it does, what may be set, and what the system promises while it runs."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from schemas.records import Scalar
from standfast.errors import DrillRejected
from standfast.services import NAMES

Value = int | float | str
_LONGEST_TEXT = 2000


@dataclass(frozen=True, slots=True)
class Param:
    """One thing that may be set. The type of `default` is its type; a whole number may stand for a float."""

    name: str
    default: Value
    about: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Its type in words."""
        return {int: "whole number", float: "number", str: "text"}[type(self.default)]

    @property
    def limits(self) -> str:
        """What is allowed, in words."""
        if self.choices:
            return " or ".join(self.choices)
        return f"{self.minimum:g} to {self.maximum:g}" if self.minimum is not None else self.kind

    def checked(self, value: Scalar) -> Value:
        """The value in the type of the default; raises DrillRejected for a wrong type or a value out of limits."""
        wanted = f"{self.name} = {value!r:.200}: give {'one of' if self.choices else 'a'} {self._wanted()}"
        if isinstance(self.default, str):
            if not isinstance(value, str) or (self.choices and value not in self.choices):
                raise DrillRejected(wanted)
            if len(value) > _LONGEST_TEXT:
                raise DrillRejected(f"{self.name} has {len(value)} characters; give at most {_LONGEST_TEXT}")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DrillRejected(wanted)
        if isinstance(self.default, int) and value != int(value if abs(value) < 1e15 else 0):
            raise DrillRejected(wanted)
        if self.minimum is not None and self.maximum is not None and not self.minimum <= value <= self.maximum:
            raise DrillRejected(wanted)
        return type(self.default)(value)

    def parsed(self, text: str) -> Scalar:
        """What was typed on a command line, as the scalar it stands for; `checked` then judges it."""
        if isinstance(self.default, str):
            return text
        try:
            return int(text)
        except ValueError:
            try:
                return float(text)
            except ValueError:
                return text

    def _wanted(self) -> str:
        return self.limits if self.choices else f"{self.kind} ({self.limits})"


@dataclass(frozen=True, slots=True)
class Drill:
    """One entry of the catalogue. `targets` are the keys a command's `target` may have."""

    name: str
    what: str
    why: str
    targets: dict[str, str]
    params: tuple[Param, ...]
    promises: tuple[str, ...]
    undo: str

    def param(self, name: str) -> Param:
        """One of its params; raises DrillRejected with the nearest name."""
        known = {param.name: param for param in self.params}
        if name not in known:
            raise DrillRejected(f"{self.name} has no param {name!r}{_nearest(name, list(known))}")
        return known[name]


WORKER_KILL = Drill(
    name="worker-kill",
    what="Kills one live worker (SIGKILL) under load; a standby has to take over its partitions.",
    why="Processes die: out of memory, a driver, a node. Nobody who asked may notice more than a short wait.",
    targets={
        "worker": "the worker of that id, such as search-0",
        "partition": "the worker that owns this partition of the request topic",
        "topic": "the owner of most partitions of this request topic",
    },
    params=(
        Param("service", "search", "whose worker is killed", choices=NAMES),
        Param("rate", 40.0, "requests per second the drill itself sends, over all partitions", 1, 2000),
        Param("before_s", 3.0, "seconds of load before the kill; all of it must be answered", 1, 120),
        Param("after_s", 5.0, "seconds of load after the recovery", 1, 300),
        Param("recover_within_s", 30.0, "how long recovery is waited for", 0.5, 300),
        Param("answer_within_s", 10.0, "how long the last answers are waited for", 0.5, 120),
        Param("restore_within_s", 60.0, "how long the worker's replacement and the standbys are waited for", 0.5, 300),
        Param("rto_ms", 5000.0, "objective: every partition of the victim answers again within", 1, 300_000),
        Param("p99_ms", 2000.0, "objective: p99 of the answers before and after", 1, 300_000),
        Param("queries", "", "own search words or user ids for the load, separated by |; empty: the sample shop's"),
    ),
    promises=(
        "every accepted request is answered: 0 lost",
        "a read_committed reader sees each answer once: 0 duplicated (unless workers.delivery = at_least_once)",
        "answers to one partition keep the order of its requests: 0 out of order",
        "each answer has as many products as its request asks for: 0 swapped",
        "all answers have status ok",
        "the victim's partitions answer again within rto_ms",
        "p99 after the recovery is within p99_ms",
    ),
    undo="nothing is left behind: the supervisor starts the worker again; the drill checks that it did",
)

CATALOGUE: dict[str, Drill] = {drill.name: drill for drill in (WORKER_KILL,)}


def find(name: str) -> Drill:
    """The drill of that name; raises DrillRejected with what there is."""
    if name not in CATALOGUE:
        raise DrillRejected(f"there is no drill {name[:100]!r}{_nearest(name, list(CATALOGUE))}")
    return CATALOGUE[name]


def _nearest(wrong: str, known: list[str]) -> str:
    close = difflib.get_close_matches(wrong, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(known)}"
