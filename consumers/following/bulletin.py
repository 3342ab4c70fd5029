"""A small file by which the follower tells the workers which store to read, whether it is complete, and as of when.

The supervisor removes the file when it starts, so that no worker reads what is of another cluster or of a topic that
has been deleted: only the follower knows which topic it is, and only after it has asked Kafka.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from standfast.core.home import folder
from standfast.core.keeping import write_whole

# A restarted follower writes a new bulletin within 2 s, on a busy machine within 5.
_FRESH_MS = 15_000


class Bulletin(msgspec.Struct, frozen=True):
    """`store`: the store's file name; `complete`: the follower had reached the end of the topic.

    `at`: when this was written, epoch milliseconds.
    """

    store: str
    complete: bool
    at: int

    def is_fresh(self) -> bool:
        """Whether it was written in the last 15 s, so that a follower still runs."""
        return self.at > time.time() * 1000 - _FRESH_MS


def store_folder(name: str) -> Path:
    """The folder of the stores and the bulletin of the topic with this name."""
    return folder("run", name)


def read(stores: Path) -> Bulletin | None:
    """The last bulletin; None if there is none, or none that can be read."""
    try:
        return msgspec.json.decode((stores / "bulletin.json").read_bytes(), type=Bulletin)
    except (OSError, msgspec.DecodeError):
        return None


def write(stores: Path, bulletin: Bulletin) -> None:
    """Replaces the bulletin; raises OSError."""
    write_whole(stores / "bulletin.json", msgspec.json.encode(bulletin))


def forget(name: str) -> None:
    """Removes the bulletin: workers know nothing of the topic until a follower writes the next one."""
    (store_folder(name) / "bulletin.json").unlink(missing_ok=True)
