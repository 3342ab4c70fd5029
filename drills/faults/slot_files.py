"""Which slot a worker's process has, by the files that it has mapped: orders of drills lie in such files."""

from __future__ import annotations

from pathlib import Path

from standfast.core.home import folder


def slot_of(pid: int, suffix: str) -> str:
    """The slot whose file with this suffix the process has mapped, as the kernel says; empty if there is none."""
    slots = folder("run", "slots")
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    paths = (Path(line.split(maxsplit=5)[5]) for line in maps if line.endswith(suffix))
    return next((path.stem for path in paths if path.parent.samefile(slots)), "")
