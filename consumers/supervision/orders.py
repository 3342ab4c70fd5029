"""The number of workers that somebody asked for by hand: `standfast scale` writes it, the supervisor follows it.

It holds until the system is stopped in order: a supervisor that is started again after a crash goes on with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from standfast.home import folder

Wanted = int | Literal["auto"]


def give(service: str, workers: Wanted) -> None:
    """Asks for so many workers, or for as many as the load needs; returns at once."""
    path = _file(service)
    fresh = path.with_suffix(".new")
    fresh.write_text(str(workers))
    fresh.replace(path)


def given(service: str) -> Wanted | None:
    """What was asked for last; None when nothing was, or what is there is none of our orders."""
    try:
        text = _file(service).read_text()
    except FileNotFoundError:
        return None
    if text == "auto":
        return "auto"
    return int(text) if text.isdecimal() and int(text) else None


def forget(service: str) -> None:
    """The settings decide again."""
    _file(service).unlink(missing_ok=True)


def _file(service: str) -> Path:
    return folder("run", "orders") / service
