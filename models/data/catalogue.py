"""A shop's products as columns: ids, titles, and the texts that search indexes and encodes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from models.base import Change
from models.data.rows import Skipped, read_rows
from models.data.text import plain, strip_html
from models.data.values import identity, whole_ids
from standfast.core.errors import DataError


class Product(msgspec.Struct, frozen=True):
    """One row of a user's catalogue. Further fields are ignored."""

    item_id: str | int | float
    title: str | int | float
    description: str | int | float | None = None
    category: str | int | float | None = None
    price: float | None = None
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Products in the order of the file, as three lists of the same length; titles are as the shop wrote them.

    `digest`: SHA-256 of the file.
    """

    item_ids: list[str]
    titles: list[str]
    texts: list[str]
    digest: str

    def __len__(self) -> int:
        return len(self.item_ids)

    def overlaid(self, changes: Iterable[Change]) -> Catalogue:
        """The catalogue with these changes: new products behind the others. Raises DataError if none is left."""
        pairs = zip(self.titles, self.texts, strict=True)
        rows: dict[str, tuple[str, str]] = dict(zip(self.item_ids, pairs, strict=True))
        for change in changes:
            if change.title is None:
                rows.pop(change.item_id, None)
            else:
                rows[change.item_id] = (change.title, change.text)
        if not rows:
            raise DataError("the topic `catalogue` deletes every product; write those that there are to it")
        titles, texts = zip(*rows.values(), strict=True)
        return Catalogue(list(rows), list(titles), list(texts), self.digest)


@dataclass(frozen=True, slots=True)
class Overlay:
    """What the topic `catalogue` holds. `offsets`: up to where it was read, `partition:next offset` of each."""

    changes: Sequence[Change]
    offsets: str


def read_catalogue(path: Path) -> tuple[Catalogue, Skipped]:
    """The products of a JSON lines or CSV file. Of rows with the same id the first is kept.

    Raises DataError for a file that does not hold a catalogue.
    """
    skipped = Skipped(path)
    ids: dict[str, None] = {}
    titles: list[str] = []
    texts: list[str] = []
    for line, product in read_rows(path, Product, ("item_id", "title"), skipped):
        try:
            item_id = identity(product.item_id)
        except ValueError as problem:
            skipped.add(f"column item_id: {problem}", line, product.item_id)
            continue
        title = clean(product.title)
        if not title:
            skipped.add("empty title", line)
        elif item_id in ids:
            skipped.add("item_id seen before", line, item_id)
        else:
            ids[item_id] = None
            titles.append(title)
            texts.append(searched_text(title, product.description, product.category))
    skipped.judge(len(ids), "products")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Catalogue(whole_ids(list(ids)), titles, texts, digest), skipped


def searched_text(title: str, description: str | float | None, category: str | float | None) -> str:
    """The text of a product that search indexes and encodes: all that describes it, without HTML."""
    parts = (title, description, category)
    return plain(". ".join(shown for part in parts if part is not None and (shown := clean(part))))


def clean(cell: str | float) -> str:
    """The text of a cell without HTML."""
    return strip_html(str(cell))
