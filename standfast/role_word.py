"""What the process of a role says to the supervisor that started it: that it has begun, or why it ends.

In files below `run/roles`; a process that was started by hand has no slot and says nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from standfast.home import folder
from standfast.telemetry import SLOT_VARIABLE

_log = structlog.get_logger()
_MOST_CHARS = 500


def begun() -> None:
    """Says that the role does its work now."""
    _say("begun", "")


def ends(reason: str) -> None:
    """Says why the process is about to end."""
    _say("ends", " ".join(reason.split())[:_MOST_CHARS])


def has_begun(slot: str) -> bool:
    """Whether the slot's process said so."""
    return _file(slot, "begun").exists()


def last_words(slot: str) -> str:
    """Why the slot's process ended, as far as it said so."""
    try:
        return _file(slot, "ends").read_text(errors="replace")
    except OSError:
        return ""


def forget(slot: str) -> None:
    """What the slot's last process said counts no more."""
    for word in ("begun", "ends"):
        _file(slot, word).unlink(missing_ok=True)


def _say(word: str, text: str) -> None:
    slot = os.environ.get(SLOT_VARIABLE)
    if not slot:
        return
    try:
        _file(slot, word).write_text(text, errors="replace")
    except OSError as error:
        _log.warning("the supervisor cannot be told", word=word, error=str(error))


def _file(slot: str, word: str) -> Path:
    return folder("run", "roles") / f"{slot}.{word}"
