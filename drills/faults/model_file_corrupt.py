"""A file of the active version of a model is damaged on disk: nobody may load it, and who has loaded it serves on.

The file itself is not written to. It is moved aside, a damaged copy takes its place, and the undo moves it back; where
the agent is killed, the next one does so.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Kind, Target
from drills.faults.running_system import RunningSystem
from drills.params import Param
from drills.running.targets import ready_standbys
from models import registry
from schemas.records import Scalar
from standfast.core.errors import DrillRejected, IntegrityError, ModelError

_KEPT, _COPY = ".kept-by-a-drill", ".copied-by-a-drill"


class ModelFileCorrupt:
    """Flips one bit of a file that the seed chooses, or cuts the file in half."""

    name = "model-file-corrupt"

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        self._system = system
        self._aim = aim
        self._random = random.Random(aim.seed)
        self._target = Target("model", (), ())
        self._is_whole = False

    def choose(self) -> Target:
        """The file, one of the active version's; raises DrillRejected where that is damaged already."""
        name = self._system.service.name
        try:
            _, manifest = registry.checked(name)
        except ModelError as error:
            raise DrillRejected(f"nothing was injected: {error}") from None
        if "file" not in self._target.before:
            file = self._random.choice(sorted(file for file, entry in manifest.files.items() if entry.size))
            workers = len(self._system.workers())
            before: Mapping[str, Scalar] = {"version": manifest.version, "file": file, "workers": workers}
        else:
            before = self._target.before
        hit = tuple(tuple(sorted(self._system.partitions(worker))) for worker in self._system.workers())
        standbys = ready_standbys(self._system.status(), self._system.service)
        self._target = Target("model", (), hit, standbys=standbys, before=before)
        return self._target

    def inject(self) -> Fault:
        """Puts the damaged copy in the file's place; raises DrillRejected where there is no room for it."""
        path, at = self._path, time.monotonic()
        copy = path.with_name(path.name + _COPY)
        try:
            shutil.copyfile(path, copy)
            _damage(copy, self._random, cut=self._aim.params["how"] == "cut")
            path.replace(path.with_name(path.name + _KEPT))
            copy.replace(path)
        except OSError as error:
            self.undo()
            raise DrillRejected(f"nothing was injected: the file {path.name} cannot be copied ({error})") from None
        return self._target.struck(self.name, at)

    def injected(self, within_s: float) -> Finding:  # noqa: ARG002 - the file is read at once
        """Whether loading that version is refused now."""
        try:
            registry.checked(self._system.service.name, self._version)
        except IntegrityError as error:
            return Finding("passed", f"a load of {self._label} is refused: {error}")
        return Finding("failed", f"{self._label} can still be loaded")

    def lasted(self) -> bool:
        """Always True: the drill says how long the file is damaged."""
        return True

    def undo(self) -> None:
        """Moves the file back."""
        if "file" not in self._target.before:
            return
        path = self._path
        path.with_name(path.name + _COPY).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            path.with_name(path.name + _KEPT).replace(path)

    def undone(self) -> Finding:
        """Whether the version is as it was published, and all workers and standbys have it."""
        left = [path.name for path in self._path.parent.glob(f"{self._path.name}.*-by-a-drill")]
        if left:
            return Finding("failed", f"of {self._label}, {self._path.name} is not back in its place: {', '.join(left)}")
        if not self._is_whole and (problems := registry.verify(self._system.service.name, self._version)):
            return Finding("failed", f"{self._label} is still damaged: {problems[0]}")
        self._is_whole = True
        status = self._system.status()
        if f"{self._label}:" in status.detail:  # its next try is due within a minute
            return Finding("failed", f"{self._label} is not loaded again yet: {status.detail}")
        has_it = [worker for worker in self._system.workers() if worker.model in {self._label, ""}]
        standbys = ready_standbys(status, self._system.service)
        wanted = int(str(self._target.before["workers"]))
        text = f"{self._label} has the SHA-256 of its manifest again; {len(has_it)} of {wanted} workers serve it"
        is_back = len(has_it) >= wanted and standbys >= self._target.standbys
        return Finding(
            "passed" if is_back else "failed", f"{text}, standbys ready: {standbys} ({self._target.standbys} before)"
        )

    def resume(self, target: Target) -> Finding:
        """`passed` if the damaged copy is still there; `unknown` if not, because it may have been moved back since."""
        self._target = target
        if self._path.with_name(self._path.name + _KEPT).exists():
            return self.injected(0)
        return Finding("unknown", f"no file of {self._label} is damaged now; whether one was nobody saw")

    def close(self) -> None:
        """There is nothing to release."""

    @property
    def _version(self) -> int:
        return int(str(self._target.before["version"]))

    @property
    def _label(self) -> str:
        return f"{self._system.service.name}@{self._version}"

    @property
    def _path(self) -> Path:
        return registry.folder_of(self._system.service.name, self._version) / str(self._target.before["file"])


def _damage(file: Path, chance: random.Random, *, cut: bool) -> None:
    size = file.stat().st_size
    if cut:
        os.truncate(file, size // 2)
        return
    with file.open("r+b") as opened:
        at = chance.randrange(size)
        opened.seek(at)
        (byte,) = opened.read(1)
        opened.seek(at)
        opened.write(bytes([byte ^ 1 << chance.randrange(8)]))


MODEL_FILE_CORRUPT = Kind(
    "model-file-corrupt",
    "a file of the active version of a model is damaged on disk",
    ModelFileCorrupt,
    undo="the file, which was moved aside, is moved back; its SHA-256 is checked",
    params=(Param("how", "flip", "one bit, or the second half is missing", choices=("flip", "cut")),),
    figure=None,
)
