"""A fault as a contributor would add one: this file, and one for a drill. It leaves a file and deletes it again."""

from __future__ import annotations

import time
from pathlib import Path

from drills import catalogue
from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Kind, Target
from drills.faults.running_system import RunningSystem
from drills.params import Param
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
        """Creates the file."""
        self._at = time.monotonic()
        mark().touch()
        return self._target.struck("mark", self._at)

    def injected(self, within_s: float) -> Finding:
        """Whether the file is there."""
        return Finding("passed" if mark().exists() else "failed", f"the mark was seen within {within_s:g} s")

    def lasted(self) -> bool:
        """Whether `lasts_s` are over."""
        return time.monotonic() > self._at + self._lasts_s

    def undo(self) -> None:
        """Deletes the file."""
        mark().unlink(missing_ok=True)

    def undone(self) -> Finding:
        """Whether the file is gone."""
        return Finding("failed" if mark().exists() else "passed", "the mark is gone")

    def resume(self, target: Target) -> Finding:
        """Whether the file is there; it may have been deleted since."""
        self._target = target
        return Finding("passed" if mark().exists() else "unknown", "the mark was looked for")

    def close(self) -> None:
        """Nothing to close."""


def mark() -> Path:
    """The path of the file."""
    return folder("run") / "mark"


def add_drills() -> None:
    """Puts drills that make it, and the real fault `hang`, into the user's own part of the catalogue."""
    for name, fault in (("toy-mark", "mark"), ("toy-hang", "hang")):
        file = catalogue.own_folder() / f"{name}.yaml"
        file.write_text(f"title: Makes the fault {fault}.\nwhy: To be made.\nmethod:\n  - fault: {fault}\n")


MARK = Kind("mark", "a mark is left", Mark, undo="the mark is taken away", params=OWN)
