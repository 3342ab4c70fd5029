"""Kills announced by whoever does them on purpose, so that no record is blamed for the worker's death."""

from __future__ import annotations

from standfast.home import folder


def announce(pid: int) -> None:
    """Says that this process is about to be killed on purpose; call it before the kill."""
    (folder("run", "announced") / str(pid)).touch()


def was_announced(pid: int) -> bool:
    """Whether the death of this process was announced; forgets it."""
    path = folder("run", "announced") / str(pid)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
