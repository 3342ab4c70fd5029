"""A topic's contents in one SQLite file, with the offsets up to which it was read.

SQLite and not a mapped file or LMDB: a damaged or truncated page raises an error, which a reader can handle, instead of
a SIGBUS that kills every process that reads it. In WAL mode readers and the writer never wait for each other, and the
writer may be killed at any point; a power loss loses what came since the last checkpoint, the offsets included.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

# Kafka drops tombstones after a day (delete.retention.ms): a file not updated for that long would keep deleted users.
_TOO_OLD_S = 12 * 3600
_WAL_BYTES = 64 << 20
_DAMAGED = ".damaged"
# SQLite errors that pass. SQLITE_BUSY, _LOCKED and _PROTOCOL: another process repairs what a killed one left behind;
# _CANTOPEN: the file does not exist (any more).
_PASSING = {5, 6, 14, 15}
_POSITIONS = "create table if not exists positions (partition integer primary key, next integer) strict;"


class TopicFile:
    """The writer's side; not thread-safe. Its methods raise sqlite3.Error, and then have changed nothing.

    Args:
        tables: SQL that creates the file's tables where they are missing.
    """

    def __init__(self, path: Path, tables: str) -> None:
        self.path = path
        self.connection = connection = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.execute("pragma cache_size = -32768")
        connection.execute(f"pragma journal_size_limit = {_WAL_BYTES}")
        connection.executescript(tables + _POSITIONS)

    @property
    def positions(self) -> dict[int, int]:
        """The offset to read next, by partition; empty for a new file."""
        return dict(self.connection.execute("select partition, next from positions"))

    def reached(self, positions: Mapping[int, int]) -> None:
        """Stores the offsets to read next, by partition; call it within the transaction that stores the records."""
        self.connection.executemany("insert or replace into positions values (?, ?)", positions.items())

    def limit_wal(self) -> None:
        """Checkpoints the WAL if it is larger than 64 MiB, which waits for readers; call it once in a while."""
        wal = self.path.with_name(self.path.name + "-wal")
        if wal.exists() and wal.stat().st_size > _WAL_BYTES:
            self.connection.execute("pragma wal_checkpoint(truncate)")

    def touch(self) -> bool:
        """Sets the file's modification time to now, which keeps it usable; False if the file was deleted."""
        try:
            os.utime(self.path)
        except FileNotFoundError:
            return False
        return True

    def close(self) -> None:
        """Closes the connection."""
        self.connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Runs the block in a transaction: all of its changes are stored, or none."""
        self.connection.execute("begin immediate")
        try:
            yield
            self.connection.execute("commit")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
                self.connection.execute("rollback")
            raise


def latest(folder: Path, identity: str) -> Path:
    """The newest usable file of the topic with this identity, else the path of a new one; removes all other files."""
    files = sorted(folder.glob(f"{identity}.*.db"))
    usable = [path for path in files[-1:] if _is_usable(path)]
    remove(folder, but=usable)
    return usable[0] if usable else folder / f"{identity}.{time.time_ns()}.db"


def remove(folder: Path, but: list[Path]) -> None:
    """Removes every file except these, with its WAL and markers; processes that have one open can still read it."""
    kept = tuple(path.name for path in but)
    for path in folder.glob("*.db*"):
        if not kept or not path.name.startswith(kept):
            path.unlink(missing_ok=True)


def damaged(path: Path) -> Path:
    """The path of the marker of a damaged file: a reader that finds damage creates it, and the writer begins anew."""
    return path.with_name(path.name + _DAMAGED)


def is_damage(error: Exception) -> bool:
    """Whether an error that a reader met means that the file is damaged, and does not pass."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF not in _PASSING


def _is_usable(path: Path) -> bool:
    return not damaged(path).exists() and time.time() - path.stat().st_mtime < _TOO_OLD_S
