"""Every released schema reads what its predecessor wrote; its fingerprint is that of Avro's own implementation."""

from __future__ import annotations

import itertools
import json

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from schemas import avro_schemas
from schemas.records import Record
from schemas.topics import TABLE

KINDS = tuple(sorted({topic.value for topic in TABLE if topic.value}, key=lambda kind: kind.avro_name))


def can_read(reader: str, writer: str) -> bool:
    """Whether records written with one schema can be read with the other."""
    result = ReaderWriterCompatibilityChecker().get_compatibility(avro.schema.parse(reader), avro.schema.parse(writer))
    return bool(result.compatibility is SchemaCompatibilityType.compatible)


@pytest.mark.parametrize("kind", KINDS)
def test_each_version_reads_its_predecessor(kind: type[Record]) -> None:
    versions = avro_schemas.released(kind.avro_name)
    assert [schema.version for schema in versions] == list(range(1, len(versions) + 1))
    for old, new in itertools.pairwise(versions):
        assert can_read(reader=new.text, writer=old.text), f"{kind.avro_name}.{new.version} cannot read {old.version}"
    assert can_read(reader=versions[-1].text, writer=versions[-1].text)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "added_without_default", "type": "string"},
        {"name": "k", "type": "string"},
    ],
)
def test_an_incompatible_change_would_be_caught(change: dict[str, str]) -> None:
    old = json.loads(avro_schemas.released("search_request")[0].text)
    kept = [field for field in old["fields"] if field["name"] != change["name"]]
    new = {**old, "fields": [*kept, change]}
    assert not can_read(reader=json.dumps(new), writer=json.dumps(old))


def test_a_compatible_change_passes() -> None:
    old = json.loads(avro_schemas.released("search_request")[0].text)
    new = {**old, "fields": [*old["fields"], {"name": "added", "type": "string", "default": ""}]}
    assert can_read(reader=json.dumps(new), writer=json.dumps(old))


@pytest.mark.parametrize("kind", KINDS)
def test_fingerprints_are_those_of_the_reference_implementation(kind: type[Record]) -> None:
    for schema in avro_schemas.released(kind.avro_name):
        assert avro.schema.parse(schema.text).fingerprint("CRC-64-AVRO") == schema.fingerprint


def test_every_topic_with_records_has_a_schema_of_ours() -> None:
    assert {topic.value for topic in TABLE if topic.value} == set(KINDS)
