"""What a worker knows of each user: read from the store of its host, never waited for."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from operator import itemgetter
from pathlib import Path

import structlog
from msgspec import Struct

from consumers.profiles import bulletin
from consumers.profiles.rows import unpacked
from models.data.users import user_hash
from standfast.core.topics.topic_file import damaged

_log = structlog.get_logger()
_LOOK_S = 0.2
# SQLITE_BUSY, _LOCKED and _PROTOCOL: another mends what a killed process left; _CANTOPEN: it is not there (any more).
_PASSING = {5, 6, 14, 15}
_IDS = 200_000  # item ids kept in memory, by number: 20 MB; those beyond are looked up one by one
_IDS_AT_ONCE = 500  # while a request may wait: 0.5 ms


class Known(Struct, frozen=True, gc=False):
    """A user's item ids, oldest first; `complete` is false where there may be more."""

    items: tuple[str, ...]
    complete: bool


NOTHING = Known((), complete=True)
_UNKNOWN = Known((), complete=False)


class ProfileHistories:
    """Reads the profiles that the host's follower has written.

    A thread looks for the store; a request is answered from what there is at that moment, and says so.
    """

    def __init__(self, where: Path) -> None:
        self._where = where
        self._store = self._unopened = ""
        self._ids: list[str] = []
        self._connection: sqlite3.Connection | None = None
        self._complete = False
        self._using = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="histories", daemon=True)

    def start(self) -> None:
        """Opens what is there, and goes on looking."""
        self._look()
        self._thread.start()

    def known(self, user_id: str) -> Known:
        """What is known of the user; some microseconds, whatever state the store is in."""
        with self._using:
            if self._connection is None:
                return _UNKNOWN
            try:
                return self._read(self._connection, user_hash(user_id))
            except (sqlite3.Error, ValueError, LookupError) as error:
                self._failed(error)
                return _UNKNOWN

    def close(self) -> None:
        """Ends the thread."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._connection is not None:
            self._connection.close()

    def _read(self, connection: sqlite3.Connection, user: int) -> Known:
        rows = connection.execute("select row from profiles where user = ?", (user,)).fetchall()
        if not rows:
            return NOTHING if self._complete else _UNKNOWN
        items = unpacked([row for (row,) in rows])
        if len(items) > 1:
            with contextlib.suppress(IndexError):  # 8 µs for 50, a dictionary takes 30; to look for the largest, 2 more
                return Known(itemgetter(*items)(self._ids), self._complete)
        return Known(tuple(self._id(connection, number) for number in items), self._complete)

    def _id(self, connection: sqlite3.Connection, number: int) -> str:
        if number < len(self._ids):
            return self._ids[number]
        rows = connection.execute("select item_id from items where number = ?", (number,)).fetchone()
        if rows is None:
            raise LookupError(f"there is no item {number}")
        return str(rows[0])

    def _failed(self, error: Exception) -> None:
        """What is busy is tried again with the next request; what is damaged is given up."""
        if _is_damage(error):
            self._connection = None
            self._complain(self._store, error)

    def _complain(self, store: str, error: Exception) -> None:
        """Tells the follower, who begins anew."""
        _log.error("the profiles cannot be read; they are read from Kafka again", store=store, error=str(error))
        try:
            damaged(self._where / store).touch()
        except OSError as problem:
            _log.warning("the follower cannot be told", error=str(problem))

    def _follow(self) -> None:
        while not self._closing.wait(_LOOK_S):
            try:
                self._look()
            except Exception:  # the next look may find it mended  # noqa: BLE001
                _log.exception("the profiles cannot be looked for")

    def _look(self) -> None:
        told = bulletin.read(self._where)
        if told is not None and told.store != self._store:
            self._open(told)
        self._complete = told is not None and told.complete and told.is_fresh()
        with self._using:
            if self._connection is not None:
                try:
                    _learn(self._connection, self._ids, _IDS_AT_ONCE)
                except sqlite3.Error as error:
                    self._failed(error)

    def _open(self, told: bulletin.Bulletin) -> None:
        path = self._where / told.store
        try:
            connection = sqlite3.connect(
                f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0, check_same_thread=False
            )
            connection.execute("pragma query_only = 1")
            ids: list[str] = []
            _learn(connection, ids, _IDS)
        except sqlite3.Error as error:
            if _is_damage(error) and told.store != self._unopened:
                self._complain(told.store, error)
                self._unopened = told.store
            return
        with self._using:
            old, self._connection = self._connection, connection
            self._store, self._ids = told.store, ids
        if old is not None:
            old.close()


def _is_damage(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF not in _PASSING


def _learn(connection: sqlite3.Connection, ids: list[str], most: int) -> None:
    """Appends the item ids that come next, each at its number; numbers begin with 1."""
    room = min(most, _IDS - len(ids))
    if room <= 0:
        return
    ids += [] if ids else [""]
    query = "select number, item_id from items where number >= ? order by number limit ?"
    for number, item_id in connection.execute(query, (len(ids), room)):
        if number != len(ids):
            return
        ids.append(item_id)
