"""The number of workers that was asked for by hand: `standfast scale` writes it to a file, the supervisor follows it.

It holds until the system is stopped in order; a supervisor that is restarted after a crash still follows it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from standfast.core.home import folder
from standfast.core.keeping import set_aside, write_whole

Wanted = int | Literal["auto"]
_DIGITS = 4  # a longer number is not one of our orders


def give(service: str, workers: Wanted) -> None:
    """Asks for so many workers, or for as many as the load needs; returns at once."""
    write_whole(_file(service), str(workers).encode())


def given(service: str) -> Wanted | None:
    """The number that was asked for last; None if there is none, or the file is not one of ours."""
    path = _file(service)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        set_aside(path, str(error))
        return None
    if text == "auto":
        return "auto"
    if not text:  # somebody is writing it by hand
        return None
    if text.isdecimal() and len(text) <= _DIGITS and int(text):
        return int(text)
    set_aside(path, f"{text!r:.100} is no number of workers; ask again: standfast scale")
    return None


def forget(service: str) -> None:
    """Removes the order: the settings decide again."""
    try:
        _file(service).unlink(missing_ok=True)
    except OSError as error:
        set_aside(_file(service), str(error))


def _file(service: str) -> Path:
    return folder("run", "orders") / service
