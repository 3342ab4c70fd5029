"""Consumed requests, made without Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumers.requests.admission import Origin

Headers = Sequence[tuple[str, bytes | None]]


def origin(
    value: bytes | None = b'{"query": "heart"}',
    headers: Headers = (),
    key: bytes | None = None,
    position: tuple[int, int] = (2, 41),
    topic: str = "search.requests",
) -> Origin:
    """A consumed record at `position`: its partition and offset."""
    return Origin(topic, *position, 1_700_000_000_000, key, value, list(headers))


@dataclass
class FakeMessage:
    """The part of a consumed `confluent_kafka.Message` that workers use."""

    record: Origin

    def topic(self) -> str:
        return self.record.topic

    def partition(self) -> int:
        return self.record.partition

    def offset(self) -> int:
        return self.record.offset

    def timestamp(self) -> tuple[int, int]:
        return 1, self.record.timestamp_ms

    def key(self) -> bytes | None:
        return self.record.key

    def value(self) -> bytes | None:
        return self.record.value

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self.record.headers or None

    def __len__(self) -> int:
        return len(self.record.value or b"")

    def error(self) -> None:
        return None
