"""Folders of YAML files that each describe one thing: campaigns and schedules, ours and the user's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Generic

import structlog

from drills.catalogue.marked_yaml import Mistake
from drills.catalogue.marked_yaml import Path as YamlPath
from drills.catalogue.reader import BadDefinition, P, read_as
from drills.params import nearest
from standfast.core.errors import DrillRejected, SetupError
from standfast.core.home import folder

Wrongs = Callable[[P], Iterable[tuple[YamlPath, str]]]
_LARGEST = 100_000  # bytes
_log = structlog.get_logger()


class YamlFolder(Generic[P]):
    """The files of one kind. `what` is the kind's name, and with an s that of the folder in the state folder."""

    def __init__(self, what: str, kind: type[P], wrongs: Wrongs[P], ours: Path | None = None) -> None:
        self._what = what
        self._kind = kind
        self._wrongs = wrongs
        self._ours = ours
        self._read: dict[Path, tuple[tuple[int, int], P | None]] = {}

    def own(self) -> Path:
        """The user's own folder; raises SetupError."""
        return folder("drills", f"{self._what}s")

    def files(self) -> dict[str, Path]:
        """The files by name; of two with one name ours counts."""
        try:
            own = sorted(self.own().glob("*.yaml"))
        except (SetupError, OSError):
            own = []
        ours = sorted(self._ours.glob("*.yaml")) if self._ours is not None else []
        return {path.stem: path for path in (*own, *ours)}

    def all(self) -> dict[str, P]:
        """What the files say, by name, without those that are wrong; those are logged once for each change."""
        read = {name: self._cached(path) for name, path in self.files().items()}
        return {name: part for name, part in read.items() if part is not None}

    def find(self, name: str) -> P:
        """What the file of that name says; raises DrillRejected."""
        paths = self.files()
        if name not in paths:
            raise DrillRejected(f"there is no {self._what} {name[:100]!r}{nearest(name, sorted(paths))}")
        try:
            return self.read(paths[name])
        except BadDefinition as error:
            raise DrillRejected(f"the {self._what} {name} cannot be run: {error}") from None

    def read(self, path: Path, also: Wrongs[P] | None = None) -> P:
        """What a file says; raises BadDefinition for what is wrong by the rules of its kind or those of `also`."""
        try:
            if path.stat().st_size > _LARGEST:
                raise BadDefinition(str(path), [Mistake(1, f"a {self._what} has at most {_LARGEST} bytes")])
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise BadDefinition(str(path), [Mistake(1, f"the file cannot be read: {error}")]) from None
        wrongs = self._wrongs if also is None else lambda part: chain(self._wrongs(part), also(part))
        return read_as(self._kind, wrongs, str(path), text)

    def _cached(self, path: Path) -> P | None:
        try:
            seen = path.stat()
        except OSError:
            return None
        stamp = (seen.st_mtime_ns, seen.st_size)
        if path not in self._read or self._read[path][0] != stamp:
            try:
                part = self.read(path)
            except BadDefinition as error:
                _log.warning(f"a file is no {self._what}", faults=str(error))
                self._read[path] = (stamp, None)
            else:
                self._read[path] = (stamp, part)
        return self._read[path][1]
