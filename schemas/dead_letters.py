"""The headers of a dead letter: where its record is from, and why it could not be served."""

from __future__ import annotations

from collections.abc import Sequence

Headers = Sequence[tuple[str, bytes | None]]
_REASON_LIMIT = 1000  # characters


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
