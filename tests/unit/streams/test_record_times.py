"""A record without a plausible timestamp counts as new, whichever process reads it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka import Message

from schemas.times import record_ms
from standfast.core.settings import KafkaSettings, Settings
from streams.agents import origin_of
from streams.erasures import Erasures

DAY = 86_400_000
NOW = time.time_ns() // 1_000_000
WITHOUT = [-1, 0, 1, 1_700_000_000, DAY, 1_293_839_999_999, NOW + 2 * DAY, 253_402_300_799_000]
# Ids must not contain the present time: each pytest-xdist process collects the tests and would name them differently.
NAMES = ["none", "epoch", "one", "seconds", "second-day", "before-kafka", "day-after-tomorrow", "year-9999"]


@pytest.mark.parametrize("timestamp", WITHOUT, ids=NAMES)
def test_a_record_without_a_time_counts_as_new(timestamp: int) -> None:
    before = time.time_ns() // 1_000_000
    assert before <= record_ms(timestamp) <= time.time_ns() // 1_000_000


@pytest.mark.parametrize(
    "timestamp", [1_293_840_000_000, 1_700_000_000_000, NOW, NOW + DAY // 2], ids=["2011", "2023", "now", "noon"]
)
def test_any_other_time_is_kept(timestamp: int) -> None:
    assert record_ms(timestamp) == timestamp


@pytest.mark.parametrize(
    "timestamp", [None, -0.001, *(timestamp_ms / 1000 for timestamp_ms in WITHOUT)], ids=["no", "below", *NAMES]
)
def test_to_the_stream_processor_too(timestamp: float | None) -> None:
    """Faust gives seconds as a float: a profile's item was dated 1970, and was the first to be forgotten."""
    message = SimpleNamespace(topic="interactions", partition=2, offset=7, timestamp=timestamp)
    partition, offset, at = origin_of(message)
    assert (partition, offset) == (("interactions", 2), 7)
    assert abs(at - time.time_ns() // 1_000_000) < DAY


@pytest.mark.parametrize("timestamp", WITHOUT, ids=NAMES)
def test_a_deletion_without_a_time_deletes_what_was_until_now(timestamp: int) -> None:
    """A deletion dated 1970 deleted nothing; one dated 9999 would delete all later interactions too."""
    erased: list[tuple[int, bytes, int]] = []
    settings = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    erasures = Erasures(settings, "profiles", lambda *all_: erased.append(all_), lambda _: None)
    message = SimpleNamespace(
        error=lambda: None,
        key=lambda: b"u",
        partition=lambda: 1,
        value=lambda: None,
        headers=lambda: None,
        timestamp=lambda: (1, timestamp),
    )
    erasures.take(cast(Message, message))
    ((partition, user, at),) = erased
    assert (partition, user) == (1, b"u")
    assert NOW <= at < NOW + DAY
