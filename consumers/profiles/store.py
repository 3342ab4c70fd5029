"""The profiles of all users on a host in one file, as recommendation workers read them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from consumers.profiles.rows import packed
from models.data.users import user_hash
from schemas.records import Profile
from standfast.core.topics.topic_file import TopicFile, latest

_PAGE = 4096
_NUMBERS = 500_000  # item ids whose numbers are kept in memory: some 60 MB
_TABLES = """
create table if not exists profiles (user integer, partition integer, row blob, primary key (user, partition))
    without rowid;
create table if not exists items (number integer primary key, item_id text unique) strict;
"""


class Change(Struct, frozen=True, gc=False):
    """One record of the topic; `profile` None: the user is to be forgotten."""

    partition: int
    user_id: str
    profile: Profile | None


class Store(TopicFile):
    """The writer's side of one store. Its methods raise sqlite3.Error; then nothing of the call was kept."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        super().__init__(path, _TABLES)
        self._numbers: dict[str, int] = {}
        self.connection.execute(f"pragma max_page_count = {max(limit_bytes // _PAGE, 16)}")

    @property
    def users(self) -> int:
        """How many profiles there are."""
        (count,) = self.connection.execute("select count(*) from profiles").fetchone()
        return int(count)

    def write(self, changes: Iterable[Change], positions: dict[int, int]) -> None:
        """Takes the changes in, and the place behind them, as one."""
        last = {(change.partition, change.user_id): change for change in changes}
        try:
            with self.transaction():
                for one in last.values():
                    self._put(user_hash(one.user_id), one)
                self.reached(positions)
        except BaseException:
            self._numbers.clear()  # those that were given in it are not kept
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


def opened(where: Path, identity: str, limit_bytes: int) -> Store:
    """The store of this identity that was begun last, or a new one; those of others are removed."""
    return Store(latest(where, identity), limit_bytes)
