"""Avro that is broken: a wrong magic byte, an unknown schema, a body that ends too soon or goes on too long."""

from __future__ import annotations

from collections.abc import Iterator

from drills.faults.injector import Kind
from drills.faults.records import Records
from drills.targets import PARTITION_TARGETS
from schemas import avro_schemas
from schemas.codec import CONFLUENT, SINGLE_OBJECT

_NO_SCHEMA = 2**31 - 1


class MalformedAvro(Records):
    """Writes a record of each kind."""

    name = "kafka-malformed-avro"

    def values(self) -> Iterator[bytes | None]:
        """The records to write."""
        fingerprint = avro_schemas.current(self.system.service.kind).fingerprint
        yield SINGLE_OBJECT[:1]
        yield SINGLE_OBJECT[:1] + b"\x02" + fingerprint  # the magic bytes of another version
        yield SINGLE_OBJECT
        yield SINGLE_OBJECT + fingerprint[:4]
        yield SINGLE_OBJECT + bytes(8)  # no schema has this fingerprint
        yield SINGLE_OBJECT + fingerprint
        yield SINGLE_OBJECT + fingerprint + b"\x02"  # a union's branch, and then nothing
        yield SINGLE_OBJECT + fingerprint + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # a text of 2^62 bytes
        yield SINGLE_OBJECT + fingerprint + b"\xff" * 40  # a number that never ends
        yield CONFLUENT
        yield CONFLUENT + b"\0\0"
        yield CONFLUENT + _NO_SCHEMA.to_bytes(4, "big") + b"\x02a"


MALFORMED_AVRO = Kind(
    "kafka-malformed-avro",
    "requests in broken Avro",
    MalformedAvro,
    targets=PARTITION_TARGETS,
    undo="nothing is left behind: each record is a dead letter under the drill's id; the drill checks it",
    figure=None,
)
