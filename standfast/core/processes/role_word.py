"""What the process of a role says to the supervisor that started it: that it has begun, makes steps, or why it ends.

In files below `run/roles`; a process that was started by hand has no slot and says nothing.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import structlog

from standfast.core.errors import StandfastError
from standfast.core.home import folder
from standfast.core.processes.pulse import Pulse
from standfast.core.telemetry import SLOT_VARIABLE

_log = structlog.get_logger()
_MOST_CHARS = 500


def begun() -> None:
    """Says that the role does its work now."""
    _say("begun", "")


def beat() -> None:
    """Says that the role makes steps: to be called by the loop that does its work, never beside it.

    Who is silent for a minute is killed, so also between any two waits that may take long one after the other.
    """
    pulse = _own_pulse()
    if pulse is not None:
        pulse.beat()


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


def pulse_of(slot: str) -> Pulse | None:
    """The slot's pulse, as of a process that has made no step yet; None where the disk takes no file for it."""
    try:
        pulse = Pulse(_file(slot, "pulse"))
    except (OSError, StandfastError) as error:
        _log.warning("it cannot be seen whether a role makes steps", name=slot, error=str(error))
        return None
    pulse.reset()
    return pulse


def forget(slot: str) -> None:
    """What the slot's last process said counts no more."""
    for word in ("begun", "ends"):
        _file(slot, word).unlink(missing_ok=True)


@functools.cache
def _own_pulse() -> Pulse | None:
    slot = os.environ.get(SLOT_VARIABLE)
    if not slot:
        return None
    try:
        return Pulse(_file(slot, "pulse"))
    except (OSError, StandfastError) as error:
        _log.warning("the supervisor cannot be told", word="pulse", error=str(error))
        return None


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
