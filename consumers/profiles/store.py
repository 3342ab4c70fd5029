"""The profiles of all users in one SQLite file, with the place in the topic up to which it holds them.

SQLite, and not a mapped file or LMDB: a page that is damaged or cut off is an error there, which can be answered
around, and not a signal that ends every worker that reads it. Written ahead (WAL), readers and the writer never wait
for each other, and a process may be killed between any two lines; a power cut loses what came since the last
checkpoint, and the place in the topic with it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from consumers.profiles.bulletin import damaged
from consumers.profiles.rows import packed
from models.data.users import user_hash
from schemas.records import Profile

# Kafka forgets a deletion after a day (delete.retention.ms): who has not looked for so long would keep deleted users.
_TOO_OLD_S = 12 * 3600
_PAGE = 4096
_WAL_BYTES = 64 << 20
_NUMBERS = 500_000  # item ids whose numbers are kept in memory: some 60 MB
_TABLES = """
create table if not exists profiles (user integer, partition integer, row blob, primary key (user, partition))
    without rowid;
create table if not exists items (number integer primary key, item_id text unique) strict;
create table if not exists positions (partition integer primary key, next integer) strict;
"""


class Change(Struct, frozen=True, gc=False):
    """One record of the topic; `profile` None: the user is to be forgotten."""

    partition: int
    user_id: str
    profile: Profile | None


class Store:
    """The writer's side of one store. Its methods raise sqlite3.Error; then nothing of the call was kept."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path = path
        self._numbers: dict[str, int] = {}
        self._connection = connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.execute("pragma cache_size = -32768")
        connection.execute(f"pragma journal_size_limit = {_WAL_BYTES}")
        connection.execute(f"pragma max_page_count = {max(limit_bytes // _PAGE, 16)}")
        connection.executescript(_TABLES)

    @property
    def positions(self) -> dict[int, int]:
        """The offset to read next, by partition; empty for a new store."""
        return dict(self._connection.execute("select partition, next from positions"))

    @property
    def users(self) -> int:
        """How many profiles there are."""
        (count,) = self._connection.execute("select count(*) from profiles").fetchone()
        return int(count)

    def write(self, changes: Iterable[Change], positions: dict[int, int]) -> None:
        """Takes the changes in, and the place behind them, as one."""
        last = {(one.partition, one.user_id): one for one in changes}
        with self._transaction():
            for one in last.values():
                self._put(user_hash(one.user_id), one)
            self._connection.executemany("insert or replace into positions values (?, ?)", positions.items())

    def keep_small(self) -> None:
        """Once in a while: puts what was written ahead where it belongs, if that has grown; waits for readers."""
        ahead = self.path.with_name(self.path.name + "-wal")
        if ahead.exists() and ahead.stat().st_size > _WAL_BYTES:
            self._connection.execute("pragma wal_checkpoint(truncate)")

    def is_there(self) -> bool:
        """Whether the file is still where others look for it; then it is marked as looked after."""
        try:
            os.utime(self.path)
        except FileNotFoundError:
            return False
        return True

    def close(self) -> None:
        """Ends it in order."""
        self._connection.close()

    def _put(self, user: int, change: Change) -> None:
        if change.profile is None:
            self._connection.execute("delete from profiles where user = ? and partition = ?", (user, change.partition))
            return
        row = packed(change.profile, self._number)
        self._connection.execute("insert or replace into profiles values (?, ?, ?)", (user, change.partition, row))

    def _number(self, item_id: str) -> int:
        number = self._numbers.get(item_id)
        if number is None:
            text = item_id.encode(errors="replace").decode()
            found = self._connection.execute("select number from items where item_id = ?", (text,)).fetchone()
            if found is None:
                found = self._connection.execute(
                    "insert into items values (null, ?) returning number", (text,)
                ).fetchone()
            number = int(found[0])
            if len(self._numbers) >= _NUMBERS:
                self._numbers.clear()
            self._numbers[item_id] = number
        return number

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("begin immediate")
        try:
            yield
            self._connection.execute("commit")
        except BaseException:
            self._numbers.clear()  # those that were given in it are not kept
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
                self._connection.execute("rollback")
            raise


def opened(where: Path, identity: str, limit_bytes: int) -> Store:
    """The store of this identity that was begun last, or a new one; those of others are removed."""
    mine = sorted(where.glob(f"{identity}.*.db"))
    usable = [path for path in mine[-1:] if _is_usable(path)]
    remove(where, but=usable)
    return Store(usable[0] if usable else where / f"{identity}.{time.time_ns()}.db", limit_bytes)


def remove(where: Path, but: list[Path]) -> None:
    """Removes every store, and what belongs to it, but these; who reads one still can."""
    kept = tuple(path.name for path in but)
    for path in where.glob("*.db*"):
        if not kept or not path.name.startswith(kept):
            path.unlink(missing_ok=True)


def _is_usable(path: Path) -> bool:
    return not damaged(path).exists() and time.time() - path.stat().st_mtime < _TOO_OLD_S
