"""Decodes and encodes records, in the three encodings of the contract.

The first bytes tell which: `C3 01` is Avro single-object encoding, `00` the Confluent wire format (if a schema registry
is configured), all else JSON text. A reply is written in the encoding of its request.
"""

from __future__ import annotations

import enum
import io
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import fastavro
import msgspec

from schemas import avro_schemas
from schemas.json_text import diagnose
from schemas.records import DrillCommand, Record
from standfast.core.errors import SchemaError, Unreadable

SINGLE_OBJECT = b"\xc3\x01"
CONFLUENT = b"\x00"
_BARE_WORD = re.compile(rb"\s*([a-z][a-z0-9_.-]{0,99})\s*")

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # PowerShell writes it before the output that it pipes
_LONGEST_REASON = 500  # characters; a reason contains names of fields, which the caller chose
# Raised by msgspec's decoder. Text nested too deep for it raises RecursionError, which must not end a worker.
_REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

R = TypeVar("R", bound=Record)


class Encoding(enum.Enum):
    """How a record's bytes are written."""

    JSON = "json"
    AVRO = "avro"
    CONFLUENT = "confluent"


class Malformed(SchemaError):
    """The bytes can be read, but are not such a record: answered with `invalid`, not written to the dead letters.

    `fields`: the top-level fields that can be read.
    """

    def __init__(self, reason: str, fields: Mapping[str, object], encoding: Encoding) -> None:
        super().__init__(reason[:_LONGEST_REASON])
        self.fields = fields
        self.encoding = encoding

    def text(self, name: str) -> str | None:
        """The value of a field if it is a string, else None."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else None


class SchemaIds(Protocol):
    """What the codec needs of a registry for the Confluent frame; `schemas.registry` implements it."""

    def schema(self, schema_id: int) -> avro_schemas.ParsedSchema:
        """The writer's schema with this id."""

    def ready(self, schema_id: int) -> bool:
        """Whether `schema` returns or raises at once; if not, the registry is being asked."""

    def id_of(self, kind: type[Record]) -> int:
        """The id under which this kind is written."""


class Codec:
    """Decodes and encodes the records of every topic. Thread-safe."""

    def __init__(self, schema_ids: SchemaIds | None = None) -> None:
        self._ids = schema_ids
        # Whether decoding would wait for the registry; if so, it is being asked meanwhile. None: decoding never waits.
        self.waits: Callable[[bytes | None], bool] | None = self._would_wait if schema_ids is not None else None
        self._json_encoder = msgspec.json.Encoder()
        self._json_decoders: dict[type[Record], msgspec.json.Decoder[Any]] = {}

    def decode(self, data: bytes | None, kind: type[R]) -> tuple[R, Encoding]:
        """The record and its encoding.

        Raises:
            Unreadable: the bytes cannot be decoded.
            Malformed: readable JSON whose fields are wrong or missing.
        """
        if not data:
            raise Unreadable("the record is empty; send JSON text, Avro single-object or the Confluent frame")
        encoding = sniff(data)
        if encoding is Encoding.JSON:
            return self._from_json(data, kind), encoding
        writer, body = self._writer(data, kind, encoding)
        return _from_avro(body, writer, kind), encoding

    def encode(self, record: Record, encoding: Encoding) -> bytes:
        """The record's bytes; raises SchemaError for a Confluent frame without a registry."""
        if encoding is Encoding.JSON:
            return self._json_encoder.encode(record)
        # A reader of the Confluent frame gets the schema from the registry, so it reads any version.
        is_framed = encoding is Encoding.CONFLUENT
        schema = avro_schemas.current(type(record)) if is_framed else avro_schemas.written(record)
        out = io.BytesIO()
        out.write(self._header(type(record), encoding, schema))
        fastavro.schemaless_writer(out, schema.parsed, msgspec.to_builtins(record))
        return out.getvalue()

    def _would_wait(self, data: bytes | None) -> bool:
        if not data or len(data) < 5 or not data.startswith(CONFLUENT) or self._ids is None:
            return False
        return not self._ids.ready(int.from_bytes(data[1:5], "big"))

    def _header(self, kind: type[Record], encoding: Encoding, schema: avro_schemas.AvroSchema) -> bytes:
        if encoding is Encoding.AVRO:
            return SINGLE_OBJECT + schema.fingerprint
        if self._ids is None:
            raise SchemaError("no schema registry is configured; set SCHEMA_REGISTRY_URL")
        return CONFLUENT + self._ids.id_of(kind).to_bytes(4, "big")

    def _from_json(self, data: bytes, kind: type[R]) -> R:
        if kind is DrillCommand and (word := _BARE_WORD.fullmatch(data)):
            return kind(drill=word[1].decode())
        decoder = self._json_decoders.get(kind)
        if decoder is None:
            decoder = self._json_decoders[kind] = msgspec.json.Decoder(kind)
        try:
            record: R = decoder.decode(data)
        except _REFUSALS as error:
            if data.startswith(_BYTE_ORDER_MARK) and not data.startswith(_BYTE_ORDER_MARK * 2):
                return self._from_json(data[len(_BYTE_ORDER_MARK) :], kind)
            raise _refusal(data, error) from None
        return record

    def _writer(self, data: bytes, kind: type[Record], encoding: Encoding) -> tuple[avro_schemas.ParsedSchema, bytes]:
        if encoding is Encoding.AVRO:
            schema = avro_schemas.by_fingerprint(kind.avro_name).get(data[2:10])
            if schema is None:
                raise Unreadable(f"no {kind.avro_name} schema has the fingerprint {data[2:10].hex()}")
            return schema.parsed, data[10:]
        if self._ids is None:
            raise Unreadable("a Confluent frame, but no schema registry is configured; set SCHEMA_REGISTRY_URL")
        if len(data) < 5:
            raise Unreadable(f"a Confluent frame of {len(data)} bytes has no room for its schema id")
        return self._ids.schema(int.from_bytes(data[1:5], "big")), data[5:]


def sniff(data: bytes) -> Encoding:
    """The encoding, by the first bytes."""
    if data.startswith(SINGLE_OBJECT):
        return Encoding.AVRO
    return Encoding.CONFLUENT if data.startswith(CONFLUENT) else Encoding.JSON


def fields_of(data: bytes) -> dict[str, object]:
    """All fields of a JSON record that could be decoded, also those that its kind does not have."""
    fields: dict[str, object] = msgspec.json.decode(data.removeprefix(_BYTE_ORDER_MARK))
    return fields


def _from_avro(body: bytes, writer: avro_schemas.ParsedSchema, kind: type[R]) -> R:
    stream = io.BytesIO(body)
    try:
        fields = fastavro.schemaless_reader(stream, writer, avro_schemas.current(kind).parsed)
        rest = len(body) - stream.tell()
        if rest:
            raise Unreadable(f"{rest} bytes are left over after the {kind.avro_name}")
        return msgspec.convert(fields, kind)
    except Unreadable:
        raise
    except Exception as error:  # noqa: BLE001 - fastavro raises a dozen unrelated types on hostile bytes
        raise Unreadable(f"not a {kind.avro_name} in Avro: {type(error).__name__}: {error}") from None


def _refusal(data: bytes, error: Exception) -> SchemaError:
    try:
        misfit = diagnose(data, error)
    except ValueError:  # UnicodeDecodeError is one too
        return Unreadable(f"neither JSON ({error}) nor Avro by its first bytes")
    return Malformed(misfit.reason, misfit.fields, Encoding.JSON)
