"""Every drill there is, one YAML file each: those in this folder, and the user's own."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import structlog

from drills.catalogue.drill import Drill, drill_of
from drills.catalogue.marked_yaml import Mistake
from drills.catalogue.reader import BadDefinition, read
from drills.params import nearest
from standfast.core.errors import DrillRejected, SetupError
from standfast.core.home import folder

_OURS = Path(__file__).parent
_LARGEST = 1_000_000  # bytes; a drill has a few hundred
_log = structlog.get_logger()


def catalogue() -> dict[str, Drill]:
    """The drills by name, without files that are none; those are logged once for each change."""
    drills: dict[str, Drill] = {}
    for path in files():
        try:
            drills.setdefault(path.stem, drill_in(path))
        except BadDefinition as error:
            _warn(str(error))
    return drills


def find(name: str) -> Drill:
    """The drill of that name; raises DrillRejected with what there is, or with what is wrong in its file."""
    paths = {path.stem: path for path in reversed(files())}
    if name not in paths:
        raise DrillRejected(f"there is no drill {name[:100]!r}{nearest(name, sorted(paths))}")
    try:
        return drill_in(paths[name])
    except BadDefinition as error:
        raise DrillRejected(f"the drill {name} cannot be run: {error}") from None


def files() -> list[Path]:
    """The files of the catalogue: ours, then the user's; of two with one name ours counts."""
    return [*sorted(_OURS.glob("*.yaml")), *sorted(own_folder().glob("*.yaml"))]


def own_folder() -> Path:
    """Where the user's own drills are looked for."""
    try:
        return folder("drills", "catalogue")
    except SetupError:
        return _OURS / "none"


def drill_in(path: Path) -> Drill:
    """The drill in a file; raises BadDefinition."""
    try:
        seen = path.stat()
        return _drill(path, seen.st_mtime_ns, seen.st_size)
    except (OSError, UnicodeError) as error:
        raise BadDefinition(str(path), [Mistake(1, f"the file cannot be read: {error}")]) from None


@lru_cache(maxsize=1000)
def _drill(path: Path, _changed_ns: int, size: int) -> Drill:
    """Read once for each change of the file: PyYAML takes some milliseconds for each."""
    if size > _LARGEST:
        raise BadDefinition(str(path), [Mistake(1, f"the file has {size} bytes; a drill has at most {_LARGEST}")])
    return drill_of(path.stem, read(str(path), path.read_text(encoding="utf-8")))


@lru_cache(maxsize=100)
def _warn(faults: str) -> None:
    _log.warning("a file of the catalogue is no drill", faults=faults)
