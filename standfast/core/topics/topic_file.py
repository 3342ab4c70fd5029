"""One SQLite file of what a topic holds, and the place in the topic up to which it does.

SQLite, and not a mapped file or LMDB: a page that is damaged or cut off is an error there, which can be answered
around, and not a signal that ends every process that reads it. Written ahead (WAL), readers and the writer never wait
for each other, and a process may be killed between any two lines; a power cut loses what came since the last
checkpoint, and the place in the topic with it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

# Kafka forgets a deletion after a day (delete.retention.ms): who has not looked for so long would keep deleted users.
_TOO_OLD_S = 12 * 3600
_WAL_BYTES = 64 << 20
_DAMAGED = ".damaged"
_POSITIONS = "create table if not exists positions (partition integer primary key, next integer) strict;"


class TopicFile:
    """The writer's side, for one thread at a time. Its methods raise sqlite3.Error; then nothing of the call was kept.

    Args:
        tables: SQL that makes them where they are missing.
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
        """Notes the place behind what was taken in; part of a transaction."""
        self.connection.executemany("insert or replace into positions values (?, ?)", positions.items())

    def limit_wal(self) -> None:
        """Once in a while: puts what was written ahead where it belongs, if that has grown; waits for readers."""
        ahead = self.path.with_name(self.path.name + "-wal")
        if ahead.exists() and ahead.stat().st_size > _WAL_BYTES:
            self.connection.execute("pragma wal_checkpoint(truncate)")

    def touch(self) -> bool:
        """Whether the file is still where others look for it; then it is marked as looked after."""
        try:
            os.utime(self.path)
        except FileNotFoundError:
            return False
        return True

    def close(self) -> None:
        """Ends it in order."""
        self.connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what is done in it is kept, or nothing."""
        self.connection.execute("begin immediate")
        try:
            yield
            self.connection.execute("commit")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
                self.connection.execute("rollback")
            raise


def latest(where: Path, identity: str) -> Path:
    """The file of this identity that was begun last, or a new one; those of others are removed."""
    mine = sorted(where.glob(f"{identity}.*.db"))
    usable = [path for path in mine[-1:] if _is_usable(path)]
    remove(where, but=usable)
    return usable[0] if usable else where / f"{identity}.{time.time_ns()}.db"


def remove(where: Path, but: list[Path]) -> None:
    """Removes every file, and what belongs to it, but these; who reads one still can."""
    kept = tuple(path.name for path in but)
    for path in where.glob("*.db*"):
        if not kept or not path.name.startswith(kept):
            path.unlink(missing_ok=True)


def damaged(path: Path) -> Path:
    """A file that says that this one cannot be read; whoever sees that makes it, and the writer begins anew."""
    return path.with_name(path.name + _DAMAGED)


def _is_usable(path: Path) -> bool:
    return not damaged(path).exists() and time.time() - path.stat().st_mtime < _TOO_OLD_S
