"""Writes small files atomically, and moves unreadable ones aside."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import structlog

_log = structlog.get_logger()


def write_whole(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Replaces the file in one step, safe with several writers. Raises OSError, and leaves the old content then.

    Args:
        lasting: fsync before the rename; without it a power loss leaves an empty file on many file systems. Files that
            only describe the present state do without, since a slow disk would block the process that writes them.
    """
    fresh = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def set_aside(path: Path, reason: str) -> None:
    """Renames an unreadable file to `<name>.unreadable`: it is logged once, and a new one can be written."""
    aside = path.with_name(f"{path.name}.unreadable")
    try:
        path.replace(aside)
    except OSError as error:
        _log.error("a file cannot be read, nor moved aside", path=str(path), reason=reason, error=str(error))
    else:
        _log.error("a file could not be read and was moved aside", path=str(path), to=aside.name, reason=reason)
