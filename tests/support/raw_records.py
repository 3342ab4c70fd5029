"""Record batches from a client that checks nothing: any bytes as header names, any timestamp, any codec."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiokafka import codec
from aiokafka.record.util import calc_crc32c, encode_varint
from confluent_kafka.admin import AdminClient

from tests.waiting import wait_until

_PRODUCE_V7 = struct.pack(">hhih", 0, 7, 1, 3) + b"raw" + struct.pack(">hhii", -1, -1, 30_000, 1)
_NO_LEADER_YET = (3, 5, 6)  # Kafka's UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER
# Name → the codec's number in the attributes of a batch, and its compress function.
CODECS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (0, bytes),
    "gzip": (1, codec.gzip_encode),
    "snappy": (2, codec.snappy_encode),
    "lz4": (3, codec.lz4_encode),
    "zstd": (4, codec.zstd_encode),
}


@dataclass(frozen=True)
class RawRecord:
    """One record of a batch."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()

    def packed(self, number: int) -> bytes:
        """The record's bytes as number `number` of its batch."""
        body = b"\0" + _varint(0) + _varint(number) + _sized(self.key) + _sized(self.value)
        body += _varint(len(self.headers))
        for name, content in self.headers:
            body += _sized(name) + _sized(content)
        return _sized(body)


def batch(records: Sequence[RawRecord], compression: str = "none", at: int | None = None, base: int = 0) -> bytes:
    """A batch (format v2) of these records, from offset `base` on. `at`: timestamp in ms, now by default.

    Kafka soon deletes records with an old timestamp, because the topic's retention counts from it.
    """
    at = time.time_ns() // 1_000_000 if at is None else at
    number, compress = CODECS[compression]
    packed = compress(b"".join(record.packed(index) for index, record in enumerate(records)))
    count = len(records)
    tail = struct.pack(">hiqqqhii", number, count - 1, at, at, -1, -1, -1, count) + packed
    return struct.pack(">qiibI", base, 9 + len(tail), -1, 2, calc_crc32c(tail)) + tail


def send(admin: AdminClient, topic: str, partition: int, data: bytes) -> int:
    """Writes one batch to a partition and returns its first offset."""
    error, offset = _answer(admin, topic, partition, data)
    assert error == 0, f"Kafka refuses the batch with error {error}"
    return offset


def refusal(admin: AdminClient, topic: str, partition: int, data: bytes) -> int:
    """The code of the error with which Kafka refuses the batch; 0 if it takes it."""
    return _answer(admin, topic, partition, data)[0]


def _answer(admin: AdminClient, topic: str, partition: int, data: bytes) -> tuple[int, int]:
    """Error code and first offset. Tries again while the partition of a new topic has no leader."""
    answers: list[tuple[int, int]] = []

    def sent() -> bool:
        answers.append(_send(admin, topic, partition, data))
        return answers[-1][0] not in _NO_LEADER_YET

    wait_until(sent, every=0.2, what="a leader")
    return answers[-1]


def _send(admin: AdminClient, topic: str, partition: int, data: bytes) -> tuple[int, int]:
    about = admin.list_topics(topic, timeout=30)
    metadata = about.topics[topic].partitions.get(partition)
    broker = about.brokers.get(metadata.leader) if metadata else None
    if broker is None:
        return _NO_LEADER_YET[0], -1
    name = struct.pack(">h", len(topic)) + topic.encode()
    request = _PRODUCE_V7 + name + struct.pack(">iii", 1, partition, len(data)) + data
    with socket.create_connection((broker.host, broker.port), 30) as wire, wire.makefile("rb") as answers:
        wire.sendall(struct.pack(">i", len(request)) + request)
        answer = answers.read(struct.unpack(">i", answers.read(4))[0])
    error, offset = struct.unpack_from(">hq", answer, 4 + 4 + len(name) + 4 + 4)
    return int(error), int(offset)


def _varint(number: int) -> bytes:
    out = bytearray()
    encode_varint(number, out.append)
    return bytes(out)


def _sized(data: bytes | None) -> bytes:
    return _varint(-1) if data is None else _varint(len(data)) + data
