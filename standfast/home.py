"""Where Standfast keeps its state and what it downloads."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The state folder: `STANDFAST_HOME`, else `standfast` in the XDG state folder. Created if missing."""
    chosen = os.environ.get("STANDFAST_HOME")
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return _made(Path(chosen).expanduser() if chosen else Path(base) / "standfast")


def cache() -> Path:
    """The folder for downloads that any state folder may share (Kafka's jars). Created if missing."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return _made(Path(base) / "standfast")


def folder(*parts: str) -> Path:
    """A folder below the state folder, created if missing: `folder("run", "slots")`."""
    return _made(home().joinpath(*parts))


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()
