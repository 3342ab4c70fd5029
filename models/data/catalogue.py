"""A shop's products as columns: ids, titles, the texts that search indexes and encodes, and attributes to filter by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from models.attributes.reading import Attributes, attributes_of
from models.base import Change
from models.data.rows import Skipped, read_whole_rows
from models.data.text import plain, strip_html
from models.data.values import identity, whole_ids
from standfast.core.errors import DataError


class Product(msgspec.Struct, frozen=True):
    """One row of a user's catalogue. Category, price and further fields are what can be filtered by."""

    item_id: str | int | float
    title: str | int | float
    description: str | int | float | None = None
    category: str | int | float | None = None
    price: float | None = None
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Products in the order of the file, as lists of the same length; titles are as the shop wrote them.

    `digest`: SHA-256 of the file. `attributes`: empty if no product has any.
    """

    item_ids: list[str]
    titles: list[str]
    texts: list[str]
    digest: str
    attributes: Sequence[Attributes] = ()

    def __len__(self) -> int:
        return len(self.item_ids)

    def described(self, item_ids: Sequence[str]) -> list[Attributes]:
        """The attributes of these products of the catalogue."""
        if not self.attributes:
            return [() for _ in item_ids]
        attributes_by_id = dict(zip(self.item_ids, self.attributes, strict=True))
        return [attributes_by_id[item_id] for item_id in item_ids]

    def overlaid(self, changes: Iterable[Change]) -> Catalogue:
        """The catalogue with these changes: new products behind the others. Raises DataError if none is left."""
        columns = zip(self.titles, self.texts, self.described(self.item_ids), strict=True)
        rows: dict[str, tuple[str, str, Attributes]] = dict(zip(self.item_ids, columns, strict=True))
        for change in changes:
            if change.title is None:
                rows.pop(change.item_id, None)
            else:
                rows[change.item_id] = (change.title, change.text, change.attributes)
        if not rows:
            raise DataError("the topic `catalogue` deletes every product; write those that there are to it")
        titles, texts, attributes = zip(*rows.values(), strict=True)
        return Catalogue(list(rows), list(titles), list(texts), self.digest, attributes if any(attributes) else ())


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
    attributes: list[Attributes] = []
    for line, product, fields in read_whole_rows(path, Product, ("item_id", "title"), skipped):
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
            try:
                attributes.append(attributes_of(fields()))
            except (msgspec.DecodeError, RecursionError) as problem:  # of a field that no other use reads
                skipped.add(f"a further field cannot be read: {problem}", line)
                continue
            ids[item_id] = None
            titles.append(title)
            texts.append(searched_text(title, product.description, product.category))
    skipped.judge(len(ids), "products")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Catalogue(whole_ids(list(ids)), titles, texts, digest, attributes if any(attributes) else ()), skipped


def searched_text(title: str, description: str | float | None, category: str | float | None) -> str:
    """The text of a product that search indexes and encodes: all that describes it, without HTML."""
    parts = (title, description, category)
    return plain(". ".join(shown for part in parts if part is not None and (shown := clean(part))))


def clean(cell: str | float) -> str:
    """The text of a cell without HTML."""
    return strip_html(str(cell))
