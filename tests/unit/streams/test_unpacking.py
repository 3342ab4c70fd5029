"""Whatever a fetched batch contains, the records after it are read."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.structs import TopicPartition

from streams import codecs
from streams.unpacking import Damaged, RecordBatches
from tests.support.raw_records import CODECS, RawRecord, batch

_ODD = (b"caf\xe9", b"x")


def read(data: bytes, position: int = 0) -> list[Any]:
    """The records that aiokafka reads from a fetch response, from this position on."""
    partition = TopicPartition("interactions", 0)
    return list(PartitionRecords(partition, RecordBatches(data), [], position, None, None, True, READ_COMMITTED))


def with_codec(data: bytes, number: int) -> bytes:
    """The same batch with another codec number in its attributes."""
    from aiokafka.record.util import calc_crc32c

    tail = struct.pack(">h", number) + data[23:]
    return data[:17] + struct.pack(">I", calc_crc32c(tail)) + tail


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_read(codec: str) -> None:
    data = batch([RawRecord(b"a" * 2000, b"k"), RawRecord(b"b")], codec, at=7)
    assert [(record.offset, record.key, record.value, record.timestamp) for record in read(data)] == [
        (0, b"k", b"a" * 2000, 7),
        (1, None, b"b", 7),
    ]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("odd", [0, 1, 2])
def test_a_header_name_that_is_no_text_costs_no_record(codec: str, odd: int) -> None:
    records = [RawRecord(b"%d" % number, headers=[_ODD] if number == odd else [(b"fine", b"y")]) for number in range(3)]
    records_read = read(batch(records, codec) + batch([RawRecord(b"next")], codec, base=3))
    assert [(record.offset, record.value) for record in records_read] == [(0, b"0"), (1, b"1"), (2, b"2"), (3, b"next")]
    assert records_read[odd].headers == (("caf\\xe9", b"x"),)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(batch([RawRecord(b"a"), RawRecord(b"b")])[:-1] + b"!", id="check sum"),
        pytest.param(with_codec(batch([RawRecord(b"a"), RawRecord(b"b")]), 4), id="not zstd"),
        pytest.param(with_codec(batch([RawRecord(b"a"), RawRecord(b"b")]), 3), id="not lz4"),
        pytest.param(with_codec(batch([RawRecord(b"a"), RawRecord(b"b")]), 2), id="not snappy"),
        pytest.param(with_codec(batch([RawRecord(b"a"), RawRecord(b"b")]), 1), id="not gzip"),
        pytest.param(with_codec(batch([RawRecord(b"a"), RawRecord(b"b")]), 6), id="unknown codec"),
    ],
)
@pytest.mark.parametrize("position", [0, 1])
def test_a_damaged_batch_is_one_record_that_says_so(bad: bytes, position: int) -> None:
    damaged, following = read(bad + batch([RawRecord(b"next")], base=2), position)
    assert (following.offset, following.value) == (2, b"next")
    assert isinstance(damaged.value, Damaged)
    assert damaged.value == bad
    assert damaged.offset == 1, "a reader that starts in the middle of the batch still meets it"
    assert "offsets 0 to 1 cannot be unpacked" in damaged.value.reason


def test_what_comes_before_the_damage_is_read() -> None:
    whole = batch([RawRecord(b"a"), RawRecord(b"b"), RawRecord(b"c")])
    cut = with_codec(whole[:-3] + b"\x7f\x7f\x7f", 0)
    first, second, damaged = read(cut)
    assert (first.value, second.value) == (b"a", b"b")
    assert damaged.offset == 2
    assert "offsets 2 to 2" in damaged.value.reason


@pytest.mark.parametrize("codec", [name for name in CODECS if name != "none"])
@pytest.mark.parametrize("header", [(b"fine", b"x"), _ODD])
def test_a_batch_that_unpacks_to_too_much_is_set_aside(
    monkeypatch: pytest.MonkeyPatch, codec: str, header: tuple[bytes, bytes]
) -> None:
    """Compressed, hundreds of megabytes fit into max.message.bytes."""
    monkeypatch.setattr(codecs, "LARGEST", 1 << 20)
    bomb = batch([RawRecord(b"small", headers=[header]), RawRecord(b" " * (1 << 20), headers=[header])], codec)
    damaged, following = read(bomb + batch([RawRecord(b"next")], codec, base=2))
    assert (following.offset, following.value) == (2, b"next")
    assert isinstance(damaged.value, Damaged)
    assert (damaged.offset, damaged.value) == (1, bomb)
    assert "offsets 0 to 1 cannot be unpacked: TooLarge: it unpacks to more than 1048576 bytes" in damaged.value.reason


@pytest.mark.parametrize("codec", [name for name in CODECS if name != "none"])
def test_a_batch_of_just_the_limit_is_read(monkeypatch: pytest.MonkeyPatch, codec: str) -> None:
    whole = batch([RawRecord(b"a" * 300_000), RawRecord(b"b" * 300_000)], codec)
    monkeypatch.setattr(codecs, "LARGEST", len(batch([RawRecord(b"a" * 300_000), RawRecord(b"b" * 300_000)])) - 61)
    assert [record.value[:1] for record in read(whole)] == [b"a", b"b"]


def test_gzip_in_two_members_is_read() -> None:
    """Java and librdkafka read it too."""
    first, second = RawRecord(b"a").packed(0), RawRecord(b"b").packed(1)
    two = batch([RawRecord(b"a"), RawRecord(b"b")], "gzip")[:61] + CODECS["gzip"][1](first) + CODECS["gzip"][1](second)
    [first_read, second_read] = read(with_codec(two[:8] + struct.pack(">i", len(two) - 12) + two[12:], 1))
    assert (first_read.value, second_read.value) == (b"a", b"b")
