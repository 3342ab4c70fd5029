"""The Avro schemas on disk, by record and by fingerprint.

Every version ever released stays in `schemas/avro/<name>.<version>.avsc`, so that records written with it can still be
read. Records are written with the highest version. A released file is never edited: add the next version.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas.records import Record

ParsedSchema = dict[str, object]


@dataclass(frozen=True, slots=True)
class AvroSchema:
    """One released version. `fingerprint`: CRC-64-AVRO, as the 8 little-endian bytes in a single-object header."""

    name: str
    version: int
    text: str
    parsed: ParsedSchema
    fingerprint: bytes


@cache
def released(name: str) -> tuple[AvroSchema, ...]:
    """All versions of one schema, oldest first."""
    folder = files("schemas") / "avro"
    names = [entry.name.split(".") for entry in folder.iterdir() if entry.name.startswith(f"{name}.")]
    versions = sorted(int(parts[1]) for parts in names)
    return tuple(_read(name, version) for version in versions)


def current(kind: type[Record]) -> AvroSchema:
    """The version with which records of this kind are written."""
    return released(kind.avro_name)[-1]


def written(record: Record) -> AvroSchema:
    """The version with which this record is written in single-object encoding, whose readers know it or do not."""
    version = record.avro_version
    return current(type(record)) if version is None else released(record.avro_name)[version - 1]


@cache
def by_fingerprint(name: str) -> dict[bytes, AvroSchema]:
    """All versions of one schema by their fingerprint."""
    return {schema.fingerprint: schema for schema in released(name)}


def parse(text: str) -> ParsedSchema:
    """The schema as fastavro reads and writes with it; raises fastavro's SchemaParseException."""
    parsed: ParsedSchema = fastavro.parse_schema(json.loads(text), named_schemas={})
    return parsed


def _read(name: str, version: int) -> AvroSchema:
    text = (files("schemas") / "avro" / f"{name}.{version}.avsc").read_text()
    parsed = parse(text)
    digest = fingerprint(to_parsing_canonical_form(json.loads(text)), "CRC-64-AVRO")
    return AvroSchema(name, version, text, parsed, bytes.fromhex(digest))
