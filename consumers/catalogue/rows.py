"""The host's store of changed products as a worker reads it, and adds vectors to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from consumers.catalogue.store import attributes_in, digest_of
from models.base import Change

_BUSY_S = 5.0  # the longest wait for another writer; only the thread that reads waits
_NEXT = """
select p.number, p.item_id, p.title, p.text, p.attributes, p.digest, v.vector from products p
    left join vectors v on v.digest = p.digest and v.vectors_of = ? where p.number > ? order by p.number limit ?
"""

_NEW_VECTORS = (
    "select number, digest, vector from vectors where number > ? and vectors_of = ? order by number limit 2000"
)


class Row(Struct, frozen=True, gc=False):
    """A change, the digest of its text, and the vector of its text; empty if nobody has computed it yet."""

    change: Change
    digest: bytes
    vector: bytes


class Rows:
    """One store; used by one thread at a time. Its methods raise sqlite3.Error.

    Args:
        vectors_of: the name of the vectors that are wanted; see `models.base.Changeable`.
    """

    def __init__(self, path: Path, vectors_of: str) -> None:
        self._connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_BUSY_S, check_same_thread=False
        )
        self._vectors_of = vectors_of
        self._number = 0
        try:
            self._connection.execute("pragma synchronous = normal")
            self._vector_number = self._last_vector()
        except sqlite3.Error:
            self._connection.close()
            raise

    def following(self, most: int) -> list[Row]:
        """Up to `most` products that changed since the last call, in the order in which they changed."""
        rows = self._connection.execute(_NEXT, (self._vectors_of, self._number, most)).fetchall()
        if rows:
            self._number = rows[-1][0]
        return [
            Row(Change(item_id, title, text, attributes_in(attributes)), digest, vector or b"")
            for _, item_id, title, text, attributes, digest, vector in rows
        ]

    def new_vectors(self) -> dict[bytes, bytes]:
        """Up to 2,000 vectors that workers added since the last call, by digest."""
        rows = self._connection.execute(_NEW_VECTORS, (self._vector_number, self._vectors_of)).fetchall()
        if rows:
            self._vector_number = rows[-1][0]
        return {digest: vector for _, digest, vector in rows}

    def item_ids(self) -> set[str]:
        """The products of the store."""
        return {item_id for (item_id,) in self._connection.execute("select item_id from products")}

    def add_vectors(self, vectors: Iterable[tuple[str, bytes]]) -> None:
        """Adds the vectors of texts, for the other workers of the host."""
        rows = [(digest_of(text), self._vectors_of, vector) for text, vector in vectors]
        self._connection.execute("begin immediate")
        try:
            self._connection.executemany("insert or ignore into vectors values (null, ?, ?, ?)", rows)
        finally:
            self._connection.execute("commit")

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _last_vector(self) -> int:
        (number,) = self._connection.execute("select coalesce(max(number), 0) from vectors").fetchone()
        return int(number)
