"""Small files that outlive a power loss whole, and what is done with one that did not."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import structlog

_log = structlog.get_logger()


def write_whole(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Replaces the file in one step, whoever else writes it too. Raises OSError; the old content is there still then.

    Args:
        lasting: it is to outlive a power loss: without the fsync one leaves an empty file on many file systems. What
            only says how things are now does without, since a slow disk would hold up the process that says it.
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
    """Moves what cannot be read out of the way, so that it is said once and a new one can be written."""
    aside = path.with_name(f"{path.name}.unreadable")
    try:
        path.replace(aside)
    except OSError as error:
        _log.error("a file cannot be read, nor moved aside", path=str(path), reason=reason, error=str(error))
    else:
        _log.error("a file could not be read and was moved aside", path=str(path), to=aside.name, reason=reason)
