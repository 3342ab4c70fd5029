"""Every user's profile as it lies in `profiles`, in a file: in memory a million of them took 5 GB."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path

import structlog
from msgspec.structs import replace

from schemas.codec import Codec, Encoding
from schemas.records import Profile
from standfast.core.errors import SchemaError
from standfast.core.topics.topic_file import TopicFile, damaged, latest

# One row a user and partition, by a hash of both: no list of customers lies in a file of ours.
_TABLES = "create table if not exists profiles (number integer primary key, data blob);"
_GET, _DELETE = "select data from profiles where number = ?", "delete from profiles where number = ?"
_PUT = "insert or replace into profiles values (?, ?)"
_log = structlog.get_logger()
_LEVEL = 1  # of zlib: a fifth of the size in 40 µs

Place = tuple[int, bytes]  # a partition and a user
Changes = Mapping[Place, bytes | None]


class Kept:
    """`get` is for the event loop's thread, the rest for any one at a time. Methods raise sqlite3.Error.

    `get` sees what was put by a call that has returned. Nothing is put any more once it is closed.
    """

    def __init__(self, path: Path) -> None:
        self._codec = Codec()
        self._putting = threading.Lock()
        self._closed = False
        self._file = TopicFile(path, _TABLES)
        self._reader = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)

    @property
    def positions(self) -> dict[int, int]:
        """The offset of `profiles` to read next, by partition; empty for a new file."""
        return self._file.positions

    def get(self, place: Place) -> bytes | None:
        """The profile, without its user; None if there is none."""
        row = self._reader.execute(_GET, (_number(place),)).fetchone()
        return zlib.decompress(row[0]) if row is not None else None

    def put(self, changes: Changes, positions: Mapping[int, int]) -> None:
        """Takes the changes in, and the place in the topic up to which everything is in, as one."""
        with self._putting:
            if self._closed:
                return
            with self._file.transaction():
                for place, data in changes.items():
                    self._put(_number(place), self._row(data))
                self._file.reached(positions)
            self._file.limit_wal()
            self._file.touch()

    def give_up(self) -> None:
        """Says that it is damaged: the next one to be opened is new."""
        damaged(self._file.path).touch()

    def close(self) -> None:
        """Waits for what is being put."""
        with self._putting:
            if not self._closed:
                self._closed = True
                self._file.close()
                self._reader.close()

    def _put(self, number: int, row: bytes | None) -> None:
        if row is None:
            self._file.connection.execute(_DELETE, (number,))
        else:
            self._file.connection.execute(_PUT, (number, row))

    def _row(self, data: bytes | None) -> bytes | None:
        """None also for what is no profile: that user's is begun anew."""
        if data is None:
            return None
        try:
            profile, _ = self._codec.decode(data, Profile)
        except SchemaError as error:
            _log.warning("a profile that cannot be read is begun anew", reason=str(error))
            return None
        return zlib.compress(self._codec.encode(replace(profile, user_id=""), Encoding.JSON), _LEVEL)


def opened(where: Path, identity: str) -> Kept:
    """The file of this topic that was begun last, or a new one; those of others are removed."""
    return Kept(latest(where, identity))


def _number(place: Place) -> int:
    digest = hashlib.blake2b(b"%d " % place[0] + place[1], digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
