"""A file with every user's profile as it is in `profiles`; in memory a million profiles took 5 GB."""

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

# One row for each partition and user, under a hash of both, so that the file contains no user ids.
_TABLES = "create table if not exists profiles (number integer primary key, data blob);"
_GET, _DELETE = "select data from profiles where number = ?", "delete from profiles where number = ?"
_PUT = "insert or replace into profiles values (?, ?)"
_log = structlog.get_logger()
_LEVEL = 1  # zlib's: a fifth of the size, in 40 µs

ProfileKey = tuple[int, bytes]  # a partition and a user
Changes = Mapping[ProfileKey, bytes | None]


class ProfileFile:
    """The profiles by partition and user. Methods raise sqlite3.Error.

    `get` is for the event loop's thread, all else for one thread at a time. `get` returns what a completed `put` wrote.
    After `close`, `put` does nothing.
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

    def get(self, key: ProfileKey) -> bytes | None:
        """The profile as JSON, with an empty user_id; None if there is none."""
        row = self._reader.execute(_GET, (_row_id(key),)).fetchone()
        return zlib.decompress(row[0]) if row is not None else None

    def put(self, changes: Changes, positions: Mapping[int, int]) -> None:
        """Writes the changes and the offsets of `profiles` to read next, in one transaction."""
        with self._putting:
            if self._closed:
                return
            with self._file.transaction():
                for key, data in changes.items():
                    self._write_row(_row_id(key), self._stored_profile(data))
                self._file.reached(positions)
            self._file.limit_wal()
            self._file.touch()

    def give_up(self) -> None:
        """Marks the file as damaged: the next `open_profile_file` makes a new one."""
        damaged(self._file.path).touch()

    def close(self) -> None:
        """Closes the file, after a `put` that is running."""
        with self._putting:
            if not self._closed:
                self._closed = True
                self._file.close()
                self._reader.close()

    def _write_row(self, row_id: int, row: bytes | None) -> None:
        if row is None:
            self._file.connection.execute(_DELETE, (row_id,))
        else:
            self._file.connection.execute(_PUT, (row_id, row))

    def _stored_profile(self, data: bytes | None) -> bytes | None:
        """The data to store; None for a deleted profile, and for one that cannot be read, which is begun anew."""
        if data is None:
            return None
        try:
            profile, _ = self._codec.decode(data, Profile)
        except SchemaError as error:
            _log.warning("a profile that cannot be read is begun anew", reason=str(error))
            return None
        return zlib.compress(self._codec.encode(replace(profile, user_id=""), Encoding.JSON), _LEVEL)


def open_profile_file(folder: Path, identity: str) -> ProfileFile:
    """The newest file of the topic with this identity, or a new one; files of other topics are deleted."""
    return ProfileFile(latest(folder, identity))


def _row_id(key: ProfileKey) -> int:
    digest = hashlib.blake2b(b"%d " % key[0] + key[1], digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
