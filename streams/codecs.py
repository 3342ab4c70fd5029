"""Decompresses batches, up to a limit: 400 KiB, which a topic takes, may decompress to 400 MiB."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import cramjam
from aiokafka.codec import _detect_xerial_stream, snappy_decode

LARGEST = 67_108_864  # bytes of one batch, the limit of workers too
_FIRST_GUESS = 16  # compression ratio for which the output is allocated first; most records shrink less
_GZIP_WBITS = 31  # zlib's wbits for gzip with the largest window
_XERIAL_HEADER = 16  # bytes

Unpacked = bytes | memoryview


class TooLarge(Exception):
    """The batch decompresses to more than `LARGEST` bytes."""

    def __init__(self) -> None:
        super().__init__(f"it unpacks to more than {LARGEST} bytes, which are not read; send smaller batches")


def unpack(codec: int, data: bytes) -> Unpacked:
    """The decompressed records of a batch; `codec` is the number in its attributes.

    Raises TooLarge, ValueError for an unknown codec, and the exceptions of the codec's library for damaged data.
    """
    if codec not in _CODECS:
        raise ValueError(f"no codec has the number {codec}")
    return _CODECS[codec](data)


def _gzip(data: bytes) -> bytes:
    """All gzip members, as Java reads them."""
    parts, bytes_left = list[bytes](), LARGEST
    while data:
        member = zlib.decompressobj(_GZIP_WBITS)
        parts.append(member.decompress(data, bytes_left + 1))
        bytes_left -= len(parts[-1])
        if bytes_left < 0:
            raise TooLarge
        if not member.eof:
            raise EOFError("gzip data is cut off")
        data = member.unused_data
    return b"".join(parts)


def _snappy(data: bytes) -> bytes:
    """Checks the limit first: each block's header tells its decompressed size."""
    if sum(map(_snappy_size, _snappy_blocks(data))) > LARGEST:
        raise TooLarge
    return bytes(snappy_decode(data))


def _snappy_size(block: bytes) -> int:
    return int(cramjam.snappy.decompress_raw_len(block))


def _snappy_blocks(data: bytes) -> list[bytes]:
    if not _detect_xerial_stream(data):
        return [data]
    blocks, position = [], _XERIAL_HEADER
    while position < len(data):
        (size,) = struct.unpack_from(">I", data, position)
        blocks.append(data[position + 4 : position + 4 + size])
        position += 4 + size
    return blocks


def _within_limit(decompress_into: Callable[[Any, Any], int]) -> Callable[[bytes], Unpacked]:
    def unpacked(data: bytes) -> Unpacked:
        for size in (min(LARGEST, _FIRST_GUESS * len(data)), LARGEST):
            output = bytearray(size)
            try:
                return memoryview(output)[: decompress_into(data, output)]
            except cramjam.DecompressionError as error:
                if "whole buffer" not in str(error):
                    raise
        raise TooLarge

    return unpacked


_CODECS: dict[int, Callable[[bytes], Unpacked]] = {
    1: _gzip,
    2: _snappy,
    3: _within_limit(cramjam.lz4.decompress_into),
    4: _within_limit(cramjam.zstd.decompress_into),
}
