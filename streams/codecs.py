"""What a batch's records unpack to, up to a limit: compressed, 400 MiB fit into the 400 KiB that a topic takes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import cramjam
from aiokafka.codec import _detect_xerial_stream, snappy_decode

LARGEST = 67_108_864  # as workers read
_FIRST_TRY = 16  # times as much as there is; most records shrink less
_GZIP = 31
_XERIAL_HEADER = 16

Unpacked = bytes | memoryview


class TooLarge(Exception):
    """It unpacks to more than is read."""

    def __init__(self) -> None:
        super().__init__(f"it unpacks to more than {LARGEST} bytes, which are not read; send smaller batches")


def unpack(codec: int, data: bytes) -> Unpacked:
    """The records of a batch with this number for its codec.

    Raises TooLarge, and what the codec's library raises for damaged data.
    """
    if codec not in _CODECS:
        raise ValueError(f"no codec has the number {codec}")
    return _CODECS[codec](data)


def _gzip(data: bytes) -> bytes:
    """All members of it, as Java reads them."""
    parts, room = list[bytes](), LARGEST
    while data:
        member = zlib.decompressobj(_GZIP)
        parts.append(member.decompress(data, room + 1))
        room -= len(parts[-1])
        if room < 0:
            raise TooLarge
        if not member.eof:
            raise EOFError("gzip data is cut off")
        data = member.unused_data
    return b"".join(parts)


def _snappy(data: bytes) -> bytes:
    """It says beforehand how large each of its blocks will be."""
    if sum(map(_snappy_size, _snappy_blocks(data))) > LARGEST:
        raise TooLarge
    return bytes(snappy_decode(data))


def _snappy_size(block: bytes) -> int:
    return int(cramjam.snappy.decompress_raw_len(block))


def _snappy_blocks(data: bytes) -> list[bytes]:
    if not _detect_xerial_stream(data):
        return [data]
    blocks, at = [], _XERIAL_HEADER
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        blocks.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return blocks


def _bounded(into: Callable[[Any, Any], int]) -> Callable[[bytes], Unpacked]:
    def unpacked(data: bytes) -> Unpacked:
        for room in (min(LARGEST, _FIRST_TRY * len(data)), LARGEST):
            output = bytearray(room)
            try:
                return memoryview(output)[: into(data, output)]
            except cramjam.DecompressionError as error:
                if "whole buffer" not in str(error):
                    raise
        raise TooLarge

    return unpacked


_CODECS: dict[int, Callable[[bytes], Unpacked]] = {
    1: _gzip,
    2: _snappy,
    3: _bounded(cramjam.lz4.decompress_into),
    4: _bounded(cramjam.zstd.decompress_into),
}
