"""What the topic `catalogue` says of each product, in one file of the host, with the vectors of the products' texts.

The follower writes products, each with the next number, so that a worker finds what came since it last looked. Workers
add vectors: a text is encoded once a host, by whichever of them has time first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from models.attributes.reading import Attributes
from models.base import Change
from standfast.core.topics.topic_file import TopicFile, latest

_TABLES = """
create table if not exists products (item_id text primary key, number integer, partition integer, at integer,
    title text, text text, digest blob, attributes text) strict;
create index if not exists products_by_number on products (number);
create index if not exists products_by_digest on products (digest);
create table if not exists vectors (number integer primary key autoincrement, digest blob, vectors_of text, vector blob,
    unique (digest, vectors_of)) strict;
"""
_WRITE = """
insert into products values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (item_id) do update set number = excluded.number,
    partition = excluded.partition, at = excluded.at, title = excluded.title, text = excluded.text,
    digest = excluded.digest, attributes = excluded.attributes
    where excluded.partition = products.partition or excluded.at >= products.at
"""
_ATTRIBUTES = msgspec.json.Decoder(Attributes)
_FORGET = "delete from vectors where digest = ? and not exists (select 1 from products where digest = ?)"


class Record(Struct, frozen=True, gc=False):
    """A change, with the partition and the time (epoch milliseconds) of its record."""

    change: Change
    partition: int
    at: int


class CatalogueStore(TopicFile):
    """The writer's side of one store. Its methods raise sqlite3.Error; then the call has changed nothing."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _TABLES)
        self._counts: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        """The number of products in the store, with the deleted ones."""
        return sum(self.counts())

    def counts(self) -> tuple[int, int]:
        """The number of products that are changed or new, and of those that are deleted."""
        if self._counts is None:  # of a million products it takes 0.1 s
            changed, all_products = self.connection.execute("select count(title), count(*) from products").fetchone()
            self._counts = int(changed), int(all_products) - int(changed)
        return self._counts

    def write(self, changes: Iterable[Record], positions: dict[int, int]) -> None:
        """Writes the records, and the offsets behind them by partition, in one transaction.

        Of records of one product in two partitions, the one with the later time counts, in whichever order they come.
        """
        self._counts = None
        with self.transaction():
            (last,) = self.connection.execute("select coalesce(max(number), 0) from products").fetchone()
            for number, record in enumerate(changes, last + 1):
                self._put(number, record)
            self.reached(positions)

    def _put(self, number: int, record: Record) -> None:
        change = record.change
        before = self.connection.execute("select digest from products where item_id = ?", (change.item_id,)).fetchone()
        attributes = msgspec.json.encode(change.attributes).decode()
        row = (number, record.partition, record.at, change.title, change.text, digest_of(change.text), attributes)
        self.connection.execute(_WRITE, (change.item_id, *row))
        if before is not None:
            self.connection.execute(_FORGET, (before[0], before[0]))


def opened(stores: Path, identity: str) -> CatalogueStore:
    """The newest store in this folder of the topic with this identity, or a new one; all others are removed.

    Those of releases that kept no attributes have no `.2` in their names, so the topic is read again.
    """
    return CatalogueStore(latest(stores, f"{identity}.2"))


def attributes_in(text: str) -> Attributes:
    """A product's attributes, as the store has them."""
    return _ATTRIBUTES.decode(text)


def digest_of(text: str) -> bytes:
    """The name under which a text's vector is kept."""
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest()
