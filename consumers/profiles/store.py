"""The profiles of all users in one file of the host, which recommendation workers read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from consumers.profiles.rows import packed
from models.data.hash64 import hash64
from schemas.records import Profile
from standfast.core.topics.topic_file import TopicFile, latest

_PAGE = 4096  # bytes; SQLite's default page size
_NUMBERS = 500_000  # item ids whose numbers are kept in memory: some 60 MB
_TABLES = """
create table if not exists profiles (user integer, partition integer, row blob, primary key (user, partition))
    without rowid;
create table if not exists items (number integer primary key, item_id text unique) strict;
"""


class Change(Struct, frozen=True, gc=False):
    """One record of the topic; `profile` None, a tombstone: the user is deleted."""

    partition: int
    user_id: str
    profile: Profile | None


class Store(TopicFile):
    """The writer's side of one store. Its methods raise sqlite3.Error; then the call has changed nothing."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        super().__init__(path, _TABLES)
        self._numbers: dict[str, int] = {}
        self.connection.execute(f"pragma max_page_count = {max(limit_bytes // _PAGE, 16)}")

    @property
    def size(self) -> int:
        """How many profiles there are."""
        (count,) = self.connection.execute("select count(*) from profiles").fetchone()
        return int(count)

    def write(self, changes: Iterable[Change], positions: dict[int, int]) -> None:
        """Writes the changes and the offsets behind them, by partition, in one transaction."""
        latest_changes = {(change.partition, change.user_id): change for change in changes}
        try:
            with self.transaction():
                for change in latest_changes.values():
                    self._put(hash64(change.user_id), change)
                self.reached(positions)
        except BaseException:
            self._numbers.clear()  # the numbers that the transaction gave out are rolled back
            raise

    def _put(self, user: int, change: Change) -> None:
        if change.profile is None:
            self.connection.execute("delete from profiles where user = ? and partition = ?", (user, change.partition))
            return
        row = packed(change.profile, self._number)
        self.connection.execute("insert or replace into profiles values (?, ?, ?)", (user, change.partition, row))

    def _number(self, item_id: str) -> int:
        number = self._numbers.get(item_id)
        if number is None:
            text = item_id.encode(errors="replace").decode()
            row = self.connection.execute("select number from items where item_id = ?", (text,)).fetchone()
            if row is None:
                row = self.connection.execute("insert into items values (null, ?) returning number", (text,)).fetchone()
            number = int(row[0])
            if len(self._numbers) >= _NUMBERS:
                self._numbers.clear()
            self._numbers[item_id] = number
        return number


def opened(stores: Path, identity: str, limit_bytes: int) -> Store:
    """The newest store in this folder of the topic with this identity, or a new one; all others are removed."""
    return Store(latest(stores, identity), limit_bytes)
