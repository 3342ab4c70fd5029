"""What the stream processor takes from the topic `traffic` when it starts."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka import Consumer

from schemas.codec import Codec, Encoding
from schemas.records import TrafficWindow
from streams import restore

NOW = time.time_ns() // 1_000_000


def window(topic: str, end: int) -> bytes:
    return Codec().encode(TrafficWindow(topic=topic, start=end - 10_000, end=end, records=1), Encoding.JSON)


def test_a_window_of_the_future_is_no_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One record of the year 9999, which any client may write, ended all later windows of its topic."""
    values = [window("a", NOW - 20_000), window("a", 253_402_300_799_000), window("b", 10**30), b"no window"]
    records = [SimpleNamespace(value=lambda value=value: value, offset=lambda: 0) for value in values]
    monkeypatch.setattr(restore, "_partitions", lambda *_: [])
    monkeypatch.setattr(restore, "_to_the_end", lambda *_: iter(records))
    assert restore._published_until(cast(Consumer, None), "traffic", threading.Event()) == {"a": NOW - 20_000}
