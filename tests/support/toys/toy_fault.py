"""A fault as somebody would add it: one file. It only leaves a mark, and takes it away again."""

from __future__ import annotations

import time
from pathlib import Path

from drills.drill import COMMON, Drill, Param
from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Kind, Target
from drills.faults.running_system import RunningSystem
from standfast.core.home import folder

OWN = (Param("lasts_s", 0.3, "how long the mark stays", 0, 60),)


class Mark:
    """Leaves a file in the state folder."""

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        self._system = system
        self._lasts_s = float(aim.params["lasts_s"])
        self._target = Target("mark", (), ())
        self._at = 0.0

    def choose(self) -> Target:
        """Every partition counts as hit."""
        hit = tuple(tuple(sorted(self._system.partitions(worker))) for worker in self._system.workers())
        self._target = Target("mark", (), hit)
        return self._target

    def inject(self) -> Fault:
        """Leaves the mark."""
        self._at = time.monotonic()
        mark().touch()
        return self._target.struck("mark", self._at)

    def injected(self, within_s: float) -> Finding:
        """Whether it is there."""
        return Finding("passed" if mark().exists() else "failed", f"the mark was seen within {within_s:g} s")

    def lasted(self) -> bool:
        """For `lasts_s`."""
        return time.monotonic() > self._at + self._lasts_s

    def undo(self) -> None:
        """Takes it away."""
        mark().unlink(missing_ok=True)

    def undone(self) -> Finding:
        """Whether it is gone."""
        return Finding("failed" if mark().exists() else "passed", "the mark is gone")

    def resume(self, target: Target) -> Finding:
        """Whether the mark is there; it may have been taken away since."""
        self._target = target
        return Finding("passed" if mark().exists() else "unknown", "the mark was looked for")

    def close(self) -> None:
        """Nothing is held."""


def mark() -> Path:
    """The file."""
    return folder("run") / "mark"


DRILL = Drill(
    name="toy-mark",
    what="Leaves a mark.",
    why="To show what a fault is made of.",
    fault="mark",
    targets={},
    params=(*COMMON, *OWN),
    promises=(),
    undo="the mark is taken away",
)
MARK = Kind("mark", "a mark is left", Mark, params=OWN, drill=DRILL)
