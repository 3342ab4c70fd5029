"""Decodes fetched batches, the damaged ones too.

If aiokafka cannot decode one batch, it stops reading all partitions, and after a restart it reads the same batch again.
A header name that is not UTF-8, as Go, C and Rust clients may write, is enough. Here such a name is decoded with
backslash escapes, and a damaged batch becomes one `Damaged` record, after which reading goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record import default_records, memory_records
from aiokafka.record.util import decode_varint_py

from streams.codecs import TooLarge, unpack

_HEADER = default_records.DefaultRecordBase.HEADER_STRUCT.size
_MAGIC, _MAGIC_AT = 2, default_records.DefaultRecordBase.CRC_OFFSET - 1
_CODEC_MASK = default_records.DefaultRecordBase.CODEC_MASK
_CODEC_AT = default_records.DefaultRecordBase.ATTRIBUTES_OFFSET + 1  # the lower byte of two


class Damaged(bytes):
    """The value of a record that replaces those of a damaged batch: the batch's bytes as fetched."""

    reason: str


def install() -> None:
    """Makes every aiokafka consumer of this process decode in this way, for which aiokafka has no setting."""
    fetcher.MemoryRecords = RecordBatches


class RecordBatches(memory_records._MemoryRecordsPy):  # type: ignore[misc] # noqa: SLF001 - the compiled class hides its bytes
    """The batches of one partition in a fetch response."""

    def next_batch(self) -> Batch | None:
        """The next batch; None after the last."""
        data = self._next_slice
        return None if data is None else Batch(super().next_batch(), data)


class Batch:
    """One batch, with the interface of aiokafka's. `packed`: its bytes as fetched."""

    def __init__(self, batch: Any, batch_bytes: memoryview) -> None:
        self._batch = batch
        self._bytes = batch_bytes
        self._crc_is_valid = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        """The record of a transaction's marker; aiokafka does not iterate such batches."""
        return next(self._batch)

    def validate_crc(self) -> bool:
        """True: a wrong CRC becomes a `Damaged` record, because aiokafka would fetch the batch again for ever."""
        self._crc_is_valid = self._batch.validate_crc()
        return True

    def __iter__(self) -> Iterator[Any]:
        next_offset = self._batch.base_offset
        try:
            if not self._crc_is_valid:
                raise CorruptRecordException("its check sum is wrong")
            for record in self._records():
                next_offset = record.offset + 1
                yield record
        except TooLarge as error:
            yield self._damaged(next_offset, error)
        except Exception as error:  # noqa: BLE001 - the next batch must be read, whatever is in this one
            yield from self._lenient_records(next_offset, error)

    def _records(self) -> Any:
        return default_records.DefaultRecordBatch(self._uncompressed()) if self._codec() else self._batch

    def _codec(self) -> int:
        """The number of the codec. 0: none, or a message format before 2, which Kafka 4 no longer writes."""
        return int(self._batch.compression_type) if self._bytes[_MAGIC_AT] == _MAGIC else 0

    def _uncompressed(self) -> Any:
        """The batch, decompressed up to the limit of `streams.codecs`; aiokafka would decompress it without one."""
        if not (codec := self._codec()):
            return self._bytes
        header = bytearray(self._bytes[:_HEADER])
        header[_CODEC_AT] &= ~_CODEC_MASK
        return b"".join([header, unpack(codec, bytes(self._bytes[_HEADER:]))])

    def _lenient_records(self, next_offset: int, error: Exception) -> Iterator[Any]:
        try:
            if not self._crc_is_valid:
                raise error
            for record in _LenientBatch(self._uncompressed()):
                if record.offset >= next_offset:
                    next_offset = record.offset + 1
                    yield record
        except Exception as lenient_error:  # noqa: BLE001 - see above
            yield self._damaged(next_offset, lenient_error)

    def _damaged(self, first_offset: int, error: Exception) -> Any:
        """The record for a damaged batch, at its last offset: a reader may have begun in the middle of the batch."""
        last_offset = self._batch.next_offset - 1
        value = Damaged(self._bytes)
        reason = f"{type(error).__name__}: {error}"
        value.reason = f"offsets {first_offset} to {last_offset} cannot be unpacked: {reason}"
        timestamp, timestamp_type = self._batch.max_timestamp, self._batch.timestamp_type or 0
        return default_records._DefaultRecordPy(last_offset, timestamp, timestamp_type, None, value, [])  # noqa: SLF001


class _Text(bytearray):
    r"""Bytes that decode to text even if they are not UTF-8: `caf\xe9`."""

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        return part if isinstance(part, int) else _Text(part)

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:  # noqa: ARG002
        return super().decode(encoding, "backslashreplace")


class _LenientBatch(default_records._DefaultRecordBatchPy):  # type: ignore[misc] # noqa: SLF001
    """A batch whose header names may be any bytes."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if not isinstance(self._buffer, _Text):
            self._buffer = _Text(self._buffer)

    def _read_msg(self) -> Any:
        return super()._read_msg(decode_varint_py)  # the compiled decoder takes a plain bytearray only
