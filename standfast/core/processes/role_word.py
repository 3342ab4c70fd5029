"""How a role's process tells its supervisor that it has begun, that its loop makes steps, and why it ends.

Through files below `run/roles`. A process that was started by hand has no slot and writes none.
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


def begun(where: str = "") -> None:
    """Tells the supervisor that the role does its work now, and at which address, if it has one."""
    _say("begun", where)


def beat() -> None:
    """Tells the supervisor that the role makes steps; call it only from the loop that does the role's work.

    A role without a call for a minute is killed, so also call it between two waits that may each take long.
    """
    pulse = _own_pulse()
    if pulse is not None:
        pulse.beat()


def ends(reason: str) -> None:
    """Tells the supervisor why the process is about to end."""
    _say("ends", " ".join(reason.split())[:_MOST_CHARS])


def has_begun(slot: str) -> bool:
    """Whether the slot's process called `begun`."""
    return _file(slot, "begun").exists()


def address_of(slot: str) -> str:
    """The address that the slot's process gave to `begun`; empty if it gave none."""
    try:
        return _file(slot, "begun").read_text(errors="replace")
    except OSError:
        return ""


def last_words(slot: str) -> str:
    """The reason the slot's process gave to `ends`; empty if it gave none."""
    try:
        return _file(slot, "ends").read_text(errors="replace")
    except OSError:
        return ""


def pulse_of(slot: str) -> Pulse | None:
    """The slot's pulse, reset to 0; None if its file cannot be created."""
    try:
        pulse = Pulse(_file(slot, "pulse"))
    except (OSError, StandfastError) as error:
        _log.warning("it cannot be seen whether a role makes steps", name=slot, error=str(error))
        return None
    pulse.reset()
    return pulse


def forget(slot: str) -> None:
    """Deletes the files of the slot's last process."""
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
