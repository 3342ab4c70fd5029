"""What a worker knows of each user: read from the store of its host, never waited for."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import structlog
from msgspec import Struct

from consumers.profiles import bulletin
from consumers.profiles.rows import unpacked
from models.users import user_hash

_log = structlog.get_logger()
_LOOK_S = 0.2
_BUSY = {5, 6, 15}  # SQLITE_BUSY, _LOCKED and _PROTOCOL: another reader mends what a killed process left
_IDS = 100_000  # item ids kept in memory: 10 MB


class Known(Struct, frozen=True, gc=False):
    """A user's item ids, oldest first; `complete` is false where there may be more."""

    items: tuple[str, ...]
    complete: bool


NOTHING = Known((), complete=True)
_UNKNOWN = Known((), complete=False)


class Histories:
    """Reads the profiles that the host's follower has written.

    A thread looks for the store; a request is answered from what there is at that moment, and says so.
    """

    def __init__(self, where: Path) -> None:
        self._where = where
        self._store = self._unopened = ""
        self._ids: dict[int, str] = {}
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
        found = connection.execute("select row from profiles where user = ?", (user,)).fetchall()
        if not found:
            return NOTHING if self._complete else _UNKNOWN
        items = unpacked([row for (row,) in found])
        try:
            return Known(tuple(map(self._ids.__getitem__, items)), self._complete)
        except KeyError:
            return Known(tuple(self._id(connection, number) for number in items), self._complete)

    def _id(self, connection: sqlite3.Connection, number: int) -> str:
        item_id = self._ids.get(number)
        if item_id is None:
            found = connection.execute("select item_id from items where number = ?", (number,)).fetchone()
            if found is None:
                raise LookupError(f"there is no item {number}")
            if len(self._ids) >= _IDS:
                self._ids.clear()
            item_id = self._ids[number] = found[0]
        return item_id

    def _failed(self, error: Exception) -> None:
        """What is busy is tried again with the next request; what is damaged is given up, and the follower told."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
            return
        _log.error("the profiles cannot be read; they are read from Kafka again", store=self._store, error=str(error))
        self._connection = None
        try:
            bulletin.damaged(self._where / self._store).touch()
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

    def _open(self, told: bulletin.Bulletin) -> None:
        path = self._where / told.store
        try:
            connection = sqlite3.connect(
                f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0, check_same_thread=False
            )
            connection.execute("pragma query_only = 1")
        except sqlite3.Error as error:
            if told.store != self._unopened:
                _log.warning("the profiles cannot be opened", store=told.store, error=str(error))
            self._unopened = told.store
            return
        with self._using:
            old, self._connection = self._connection, connection
            self._store, self._ids = told.store, {}
        if old is not None:
            old.close()
