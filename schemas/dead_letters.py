"""The headers of a dead letter: where its record is from, and why it could not be served; and receipts for letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

Headers = Sequence[tuple[str, bytes | None]]
Deed = Literal["sent again", "given up"]
RECEIPT: list[tuple[str, bytes | None]] = [("receipt", b"1")]  # all headers of a record that holds a `Receipt`
_REASON_LIMIT = 1000  # characters
_REASON, _LEFT_OUT = "error-reason", "error-value-bytes"
_NAMES = ("reason", "topic", "partition", "offset", "timestamp", "worker")


class Receipt(Struct, frozen=True):
    """What was done with some dead letters, by whom; `letters` are their partitions and offsets."""

    deed: Deed
    by: str
    letters: list[tuple[int, int]]


class Said(Struct, frozen=True):
    """What the headers of a dead letter say of its record."""

    reason: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    worker: str


def dead_letter_headers(
    original: Headers | None, reason: str, topic: str, partition: int, offset: int, timestamp_ms: int, worker: str
) -> list[tuple[str, bytes | None]]:
    """The original headers and `error-*`, by which the record can be found and sent again."""
    return [
        *(original or ()),
        ("error-reason", reason[:_REASON_LIMIT].encode()),
        ("error-topic", topic.encode()),
        ("error-partition", str(partition).encode()),
        ("error-offset", str(offset).encode()),
        ("error-timestamp", str(timestamp_ms).encode()),
        ("error-worker", worker.encode()),
    ]


def receipt_in(headers: Headers, value: bytes | None) -> Receipt | None:
    """What a receipt says; None for every other record, also for a letter whose sender used that header."""
    if list(headers) != RECEIPT:
        return None
    try:
        return msgspec.json.decode(value or b"", type=Receipt)
    except msgspec.DecodeError:
        return None


def original_headers(headers: Headers) -> list[tuple[str, bytes | None]]:
    """The record's own headers. Ours stand behind them; the record may have some of these names, as it may be another
    dead letter that was sent again by hand."""
    return list(headers[: _ours(headers)])


def said(headers: Headers) -> Said | None:
    """What our headers say; None where they are missing or cannot be read, so that it is no dead letter of ours."""
    ours = dict(headers[_ours(headers) :])
    texts = {name: (ours.get(f"error-{name}") or b"").decode(errors="replace") for name in _NAMES}
    numbers = [texts[name] for name in ("partition", "offset", "timestamp")]
    if _REASON not in ours or not all(number.isascii() and number.isdecimal() for number in numbers):
        return None
    partition, offset, timestamp_ms = map(int, numbers)
    return Said(texts["reason"], texts["topic"], partition, offset, timestamp_ms, texts["worker"])


def is_left_out(headers: Headers) -> bool:
    """Whether the record's value was too large to be kept."""
    return any(name == _LEFT_OUT for name, _ in headers[_ours(headers) :])


def _ours(headers: Headers) -> int:
    """The index of the first of our headers."""
    reasons = [index for index, (name, _) in enumerate(headers) if name == _REASON]
    return reasons[-1] if reasons else len(headers)
