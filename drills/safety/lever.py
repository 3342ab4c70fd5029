"""The lever that stops all drills and refuses new ones: a file in the state folder, so that it works without Kafka.

Whoever creates the file by hand engages the lever. A released lever leaves a file too: a runner that finds none at all,
in a fresh state folder, takes the lever's state from the outcome stream.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
from msgspec import Struct

from standfast.core.errors import DrillRejected, SetupError
from standfast.core.home import folder
from standfast.core.keeping import write_whole

_LONGEST = 1000  # characters of a reason


class LeverState(Struct, frozen=True, kw_only=True):
    """The contents of the file."""

    engaged: bool
    reason: str = ""
    by: str = ""
    at: int = 0


def path() -> Path:
    """The lever's file; raises SetupError if the state folder cannot be created."""
    return folder("drills") / "lever"


def engaged() -> str | None:
    """Why no drill may run, None if drills may run. A file that cannot be read counts as an engaged lever."""
    try:
        state = _read()
    except (OSError, SetupError) as error:
        return f"the lever's file cannot be read ({error}), so no drill may run"
    if state is None or not state.engaged:
        return None
    by = f" by {state.by}" if state.by else ""
    why = f": {state.reason}" if state.reason else ""
    return f"the lever is engaged{by}{why}; release it: standfast drill stop-all --release"


def refuse_if_engaged() -> None:
    """Raises DrillRejected if no drill may run."""
    if reason := engaged():
        raise DrillRejected(f"nothing was injected: {reason}")


def set_lever(*, engage: bool, reason: str = "", by: str = "") -> Path:
    """Engages or releases the lever and returns its file. Raises OSError or SetupError."""
    state = LeverState(engaged=engage, reason=reason[:_LONGEST], by=by[:_LONGEST], at=time.time_ns() // 1_000_000)
    file = path()
    write_whole(file, msgspec.json.encode(state))
    return file


def is_known() -> bool:
    """Whether the file exists, so the lever was engaged or released on this machine before."""
    try:
        return path().exists()
    except (OSError, SetupError):
        return False


def _read() -> LeverState | None:
    try:
        data = path().read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(data, type=LeverState)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        text = data[:200].decode(errors="replace").strip()
        return LeverState(engaged=True, reason=text or f"the file {path()} exists")
