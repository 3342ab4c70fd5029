"""What the follower tells the workers, in one small file: which store is there, whether it is complete, and since when.

The supervisor takes it away when it starts, so that no worker reads the users of another cluster or of a topic that was
deleted since: only the follower knows, once it has asked Kafka.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from standfast.core.home import folder
from standfast.core.keeping import write_whole

# A follower that is started again tells something new within 2 s, on a busy machine within 5.
_FRESH_MS = 15_000


class Bulletin(msgspec.Struct, frozen=True):
    """`store`: the file's name; `at`: when this was written, epoch milliseconds."""

    store: str
    complete: bool
    at: int

    def is_fresh(self) -> bool:
        """Whether somebody follows the topic."""
        return self.at > time.time() * 1000 - _FRESH_MS


def place() -> Path:
    """The folder of the stores."""
    return folder("run", "profiles")


def read(where: Path) -> Bulletin | None:
    """What was told last; None if nothing was, or nothing that can be read."""
    try:
        return msgspec.json.decode((where / "bulletin.json").read_bytes(), type=Bulletin)
    except (OSError, msgspec.DecodeError):
        return None


def write(where: Path, told: Bulletin) -> None:
    """Tells it; raises OSError."""
    write_whole(where / "bulletin.json", msgspec.json.encode(told))


def forget() -> None:
    """Takes back what was told: nothing is known until somebody follows the topic again."""
    (place() / "bulletin.json").unlink(missing_ok=True)
