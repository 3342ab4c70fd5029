"""Unpacks what was fetched, record by record, whatever it is made of.

aiokafka ends the reading of all partitions where one batch cannot be unpacked, a header's name not in UTF-8 (Go, C and
Rust clients write such) included; after a restart it meets the same batch again. Here such a name is read as well as it
can be, and a batch that is damaged becomes one record that says so, behind which the reading goes on.
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
_FORMAT, _FORMAT_AT = 2, default_records.DefaultRecordBase.CRC_OFFSET - 1
_CODEC_MASK = default_records.DefaultRecordBase.CODEC_MASK
_CODEC_AT = default_records.DefaultRecordBase.ATTRIBUTES_OFFSET + 1  # the lower byte of two


class Damaged(bytes):
    """The value of the record that stands for those of a batch that could not be unpacked: the batch as it came."""

    reason: str


def install() -> None:
    """Has every consumer of this process unpack in this way. aiokafka has no setting for it."""
    fetcher.MemoryRecords = RecordBatches


class RecordBatches(memory_records._MemoryRecordsPy):  # type: ignore[misc] # noqa: SLF001 - the other one hides its bytes
    """The batches of one partition in an answer to a fetch."""

    def next_batch(self) -> Batch | None:
        """The next one, None after the last."""
        data = self._next_slice
        return None if data is None else Batch(super().next_batch(), data)


class Batch:
    """One batch, as aiokafka reads it; see the module. `packed`: its bytes."""

    def __init__(self, batch: Any, packed: memoryview) -> None:
        self._batch = batch
        self._packed = packed
        self._has_right_sum = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        """The record of a transaction's marker; such batches are not iterated."""
        return next(self._batch)

    def validate_crc(self) -> bool:
        """True: a wrong sum is told by the batch's records, since aiokafka would read it again for ever."""
        self._has_right_sum = self._batch.validate_crc()
        return True

    def __iter__(self) -> Iterator[Any]:
        following = self._batch.base_offset
        try:
            if not self._has_right_sum:
                raise CorruptRecordException("its check sum is wrong")
            for record in self._records():
                following = record.offset + 1
                yield record
        except TooLarge as error:
            yield self._damaged(following, error)
        except Exception as error:  # noqa: BLE001 - whatever is in it, the next one must be read
            yield from self._as_well_as_it_can_be(following, error)

    def _records(self) -> Any:
        return default_records.DefaultRecordBatch(self._unpacked()) if self._codec() else self._batch

    def _codec(self) -> int:
        """0: none, or an old format of Kafka's, which Kafka 4 does not write any more."""
        return int(self._batch.compression_type) if self._packed[_FORMAT_AT] == _FORMAT else 0

    def _unpacked(self) -> Any:
        """The batch as if it had not been compressed: aiokafka would unpack it without limit."""
        if not (codec := self._codec()):
            return self._packed
        head = bytearray(self._packed[:_HEADER])
        head[_CODEC_AT] &= ~_CODEC_MASK
        return b"".join([head, unpack(codec, bytes(self._packed[_HEADER:]))])

    def _as_well_as_it_can_be(self, following: int, error: Exception) -> Iterator[Any]:
        try:
            if not self._has_right_sum:
                raise error
            for record in _Lenient(self._unpacked()):
                if record.offset >= following:
                    following = record.offset + 1
                    yield record
        except Exception as cause:  # noqa: BLE001 - see above
            yield self._damaged(following, cause)

    def _damaged(self, first: int, cause: Exception) -> Any:
        """At the last of its offsets: a reader that began in the middle of the batch is behind that one too."""
        last = self._batch.next_offset - 1
        value = Damaged(self._packed)
        value.reason = f"offsets {first} to {last} cannot be unpacked: {type(cause).__name__}: {cause}"
        at, kind = self._batch.max_timestamp, self._batch.timestamp_type or 0
        return default_records._DefaultRecordPy(last, at, kind, None, value, [])  # noqa: SLF001


class _Text(bytearray):
    r"""Bytes that become text even where they are not UTF-8: `caf\xe9`."""

    def __getitem__(self, at: Any) -> Any:
        part = super().__getitem__(at)
        return part if isinstance(part, int) else _Text(part)

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:  # noqa: ARG002
        return super().decode(encoding, "backslashreplace")


class _Lenient(default_records._DefaultRecordBatchPy):  # type: ignore[misc] # noqa: SLF001
    """A batch with headers whose names may be anything."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if not isinstance(self._buffer, _Text):
            self._buffer = _Text(self._buffer)

    def _read_msg(self) -> Any:
        return super()._read_msg(decode_varint_py)  # the compiled one takes no kind of bytearray but the plain one
