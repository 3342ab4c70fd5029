"""The histories of past drills, one file each: every request with its answers, to explain a verdict.

With the history are kept the terms it was judged by, and the circumstances under which the drill ran.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from drills.evidence.circumstances import Circumstances
from drills.evidence.history import Fault, History
from drills.evidence.terms import Terms
from drills.running.plan import is_id
from standfast.core.home import folder
from standfast.core.keeping import write_whole

_KEPT = 100  # files; the oldest are deleted


class _OldHistory(msgspec.Struct):
    """The form of a history before it could have several faults."""

    fault: Fault | None = None

    @property
    def faults(self) -> tuple[Fault, ...]:
        return () if self.fault is None else (self.fault,)


class KeptDrill(History, frozen=True):
    """A history with what belongs to it; files of earlier versions have neither."""

    terms: Terms | None = None
    circumstances: Circumstances | None = None


def keep(drill_id: str, history: History, terms: Terms | None = None, under: Circumstances | None = None) -> Path:
    """Writes the history, drops the oldest beyond a hundred, and returns the file; raises OSError."""
    path = _file(drill_id)
    whole = KeptDrill(history.requests, history.unexpected, history.faults, history.ended, terms, under)
    write_whole(path, msgspec.json.encode(whole))
    histories = sorted(path.parent.glob("*.json"), key=lambda file: file.stat().st_mtime)
    for oldest in histories[:-_KEPT]:
        oldest.unlink(missing_ok=True)
    return path


def kept(drill_id: str) -> KeptDrill | None:
    """The history of a drill that ran on this machine; None if there is no readable file."""
    return history_in(_file(drill_id)) if is_id(drill_id) else None  # it becomes part of a path


def digest_of(drill_id: str) -> str:
    """SHA-256 of the file of a drill that ran on this machine, in hex; raises OSError."""
    with _file(drill_id).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def history_in(file: Path) -> KeptDrill | None:
    """The history in a file that `keep` wrote; None if it cannot be read."""
    try:
        written = file.read_bytes()
        history = msgspec.json.decode(written, type=KeptDrill)
        return (
            history
            if history.faults
            else msgspec.structs.replace(history, faults=msgspec.json.decode(written, type=_OldHistory).faults)
        )
    except (OSError, msgspec.MsgspecError):
        return None


def _file(drill_id: str) -> Path:
    return folder("drills") / f"{drill_id}.json"
