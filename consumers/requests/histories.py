"""The items each user interacted with, read from the profile store of the host without ever waiting for it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from operator import itemgetter
from pathlib import Path

import structlog
from msgspec import Struct

from consumers.following import bulletin
from consumers.profiles.rows import unpacked
from models.data.hash64 import hash64
from standfast.core.topics.topic_file import damaged, is_damage

_log = structlog.get_logger()
_LOOK_S = 0.2
_IDS = 200_000  # item ids kept in memory, by number: 20 MB; ids beyond are looked up one by one
_IDS_AT_ONCE = 500  # read in one go: that takes 0.5 ms, for which a request may have to wait


class Known(Struct, frozen=True, gc=False):
    """A user's item ids, oldest first; `complete` is False if there may be more."""

    items: tuple[str, ...]
    complete: bool


NOTHING = Known((), complete=True)
_UNKNOWN = Known((), complete=False)


class ProfileHistories:
    """Reads the profiles that the host's follower has written.

    A thread looks for the store five times a second; a look-up uses the store as it is, and says if it is incomplete.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store = self._unopened = ""
        self._ids: list[str] = []
        self._connection: sqlite3.Connection | None = None
        self._complete = False
        self._using = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="histories", daemon=True)

    def start(self) -> None:
        """Opens the store if there is one, and starts the thread that looks for another."""
        self._look()
        self._thread.start()

    def known(self, user_id: str) -> Known:
        """The user's items; takes some microseconds, whatever state the store is in, and never raises for it."""
        with self._using:
            if self._connection is None:
                return _UNKNOWN
            try:
                return self._read(self._connection, hash64(user_id))
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
            # Takes 8 µs for 50 items; a dictionary takes 30, and a check of the largest number first 2 more.
            with contextlib.suppress(IndexError):
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
        """Gives a damaged store up; a busy one is tried again with the next request."""
        if is_damage(error):
            self._connection = None
            self._complain(self._store, error)

    def _complain(self, store: str, error: Exception) -> None:
        """Tells the follower, which then begins a new store."""
        _log.error("the profiles cannot be read; they are read from Kafka again", store=store, error=str(error))
        try:
            damaged(self._folder / store).touch()
        except OSError as problem:
            _log.warning("the follower cannot be told", error=str(problem))

    def _follow(self) -> None:
        while not self._closing.wait(_LOOK_S):
            try:
                self._look()
            except Exception:  # noqa: BLE001 - the thread goes on: the next look may succeed
                _log.exception("the profiles cannot be looked for")

    def _look(self) -> None:
        current = bulletin.read(self._folder)
        if current is not None and current.store != self._store:
            self._open(current.store)
        self._complete = current is not None and current.complete and current.is_fresh()
        with self._using:
            if self._connection is not None:
                try:
                    _learn(self._connection, self._ids, _IDS_AT_ONCE)
                except sqlite3.Error as error:
                    self._failed(error)

    def _open(self, store: str) -> None:
        path = self._folder / store
        try:
            connection = sqlite3.connect(
                f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0, check_same_thread=False
            )
            connection.execute("pragma query_only = 1")
            ids: list[str] = []
            _learn(connection, ids, _IDS)
        except sqlite3.Error as error:
            if is_damage(error) and store != self._unopened:
                self._complain(store, error)
                self._unopened = store
            return
        with self._using:
            old, self._connection = self._connection, connection
            self._store, self._ids = store, ids
        if old is not None:
            old.close()


def _learn(connection: sqlite3.Connection, ids: list[str], most: int) -> None:
    """Appends up to `most` of the next item ids, each at the index that is its number; numbers begin with 1."""
    room = min(most, _IDS - len(ids))
    if room <= 0:
        return
    ids += [] if ids else [""]
    query = "select number, item_id from items where number >= ? order by number limit ?"
    for number, item_id in connection.execute(query, (len(ids), room)):
        if number != len(ids):
            return
        ids.append(item_id)
