"""The folders for state and downloads."""

from __future__ import annotations

import os
from pathlib import Path

from standfast.core.errors import SetupError


def home() -> Path:
    """The state folder: `STANDFAST_HOME`, else `standfast` in the XDG state folder. Created if missing.

    Raises SetupError, like every function here, if the folder cannot be created.
    """
    chosen = os.environ.get("STANDFAST_HOME")
    if chosen:
        return _made(_expanded(Path(chosen), "STANDFAST_HOME"), "STANDFAST_HOME")
    return _made(_base("XDG_STATE_HOME", "~/.local/state", "STANDFAST_HOME") / "standfast", "STANDFAST_HOME")


def cache() -> Path:
    """The folder for downloads that any state folder may share (Kafka's jars). Created if missing."""
    return _made(_base("XDG_CACHE_HOME", "~/.cache", "XDG_CACHE_HOME") / "standfast", "XDG_CACHE_HOME")


def folder(*parts: str) -> Path:
    """A folder below the state folder, created if missing: `folder("run", "slots")`."""
    return _made(home().joinpath(*parts), "STANDFAST_HOME")


def _base(variable: str, usual: str, remedy: str) -> Path:
    return Path(os.environ.get(variable) or _expanded(Path(usual), remedy))


def _expanded(path: Path, remedy: str) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:  # no such user, or none that has a home
        raise SetupError(f"{path}: {error}; set {remedy} to a folder that may be written to") from None


def _made(path: Path, variable: str) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a circle of links; ValueError: a zero byte
        reason = "it is no folder" if isinstance(error, FileExistsError) else getattr(error, "strerror", None) or error
        raise SetupError(
            f"{path} cannot be used: {reason}; set {variable} to a folder that may be written to"
        ) from None
