"""What the follower tells the supervisor of each model: why this host does not serve yet what the topic names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from standfast.core.home import folder
from standfast.core.keeping import write_whole


def write(notes: Mapping[str, str]) -> None:
    """Replaces the notes; raises OSError."""
    write_whole(_file(), msgspec.json.encode(dict(notes)), lasting=False)


def read() -> dict[str, str]:
    """The notes, by model; empty where the follower has written none that can be read."""
    try:
        return msgspec.json.decode(_file().read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def forget() -> None:
    """Deletes the notes of an earlier follower."""
    _file().unlink(missing_ok=True)


def _file() -> Path:
    return folder("run", "models") / "notes.json"
