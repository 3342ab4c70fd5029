"""Reads a record of the topic `catalogue` as a change of a product.

The key is the product, as in every compacted topic: Kafka keeps the last record of a key, and a tombstone has only its
key. So a record whose key is not its `item_id` is refused: a tombstone would not delete it, nor would the next record
replace it.
"""

from __future__ import annotations

import msgspec

from models.attributes.reading import Attributes, attributes_of, texts_of
from models.base import Change
from models.data.catalogue import clean, searched_text
from models.data.values import identity
from schemas.codec import Codec, Encoding, Malformed, fields_of
from schemas.records import CatalogueItem

# The encoder reads the first 256 tokens, and workers index all words between two batches: 20,000 characters take 4 ms.
_MOST_CHARACTERS = 20_000


class Refused(Exception):
    """A record that changes nothing; `reason` is its label in metrics, the text says what is wrong with it."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(problem)
        self.reason = reason


def read(key: bytes | None, value: bytes | None, codec: Codec) -> Change:
    """The change that a record means. Raises Refused."""
    item_id = _item_id(key)
    if value is None:
        return Change(item_id, None)
    product, encoding = _decoded(value, codec)
    if product.item_id.strip() != item_id:
        raise Refused("key", "its key is not its item_id; send each product with its item_id as the key")
    title = clean(product.title)
    if not title:
        raise Refused("empty_title", "its title is empty")
    text = searched_text(title, product.description, product.category)
    return Change(item_id, title, text, _attributes(product, value, encoding))


def _item_id(key: bytes | None) -> str:
    if key is None:
        raise Refused("key", "it has no key; send each product with its item_id as the key")
    try:
        return identity(key)
    except ValueError as problem:  # UnicodeDecodeError is one too
        raise Refused("key", f"its key is no item_id: {problem}") from None


def _attributes(product: CatalogueItem, value: bytes, encoding: Encoding) -> Attributes:
    """What it can be filtered by: in JSON all further fields, as in a file; in Avro those of its map."""
    try:
        fields = fields_of(value) if encoding is Encoding.JSON else msgspec.to_builtins(product)
    except (msgspec.DecodeError, RecursionError) as problem:  # only in a further field, such as 1e400
        raise Refused("malformed", f"a further field cannot be read: {problem}") from None
    attributes = attributes_of(fields)
    characters = sum(len(name) + sum(map(len, texts_of(each))) for name, each in attributes)
    if characters > _MOST_CHARACTERS:
        raise Refused("too_long", f"its attributes have {characters:,} characters, {_MOST_CHARACTERS:,} are the most")
    return attributes


def _decoded(value: bytes, codec: Codec) -> tuple[CatalogueItem, Encoding]:
    try:
        product, encoding = codec.decode(value, CatalogueItem)
    except Malformed as error:
        raise Refused("malformed", str(error)) from None
    except Exception as error:  # noqa: BLE001 - of a registry or a library too: one record must not end the follower
        raise Refused("unreadable", str(error)) from None
    characters = sum(map(len, (product.title, product.description or "", product.category or "")))
    if characters > _MOST_CHARACTERS:
        raise Refused("too_long", f"its texts have {characters:,} characters, {_MOST_CHARACTERS:,} are the most")
    return product, encoding
