"""A producer that has changed its schema and asks no registry: fields removed, retyped or renamed."""

from __future__ import annotations

import json
from collections.abc import Iterator

from drills.faults.extra import extra_requests
from drills.faults.injector import Kind
from drills.faults.records import Records
from drills.targets import PARTITION_TARGETS
from schemas import avro_schemas
from schemas.codec import SINGLE_OBJECT


class Incompatible(Records):
    """Writes a request once for each of its fields without that field, with another type in it, and under a new name.

    And once in Avro, in which the fields of a changed schema follow a fingerprint that is still the old one's.
    """

    name = "kafka-incompatible-producer"

    def values(self) -> Iterator[bytes | None]:
        """The records to write."""
        whole = json.loads(extra_requests(self.system.service, self.aim)("incompatible"))
        for field, value in whole.items():
            rest = {name: kept for name, kept in whole.items() if name != field}
            for changed in (rest, {**rest, field: [value]}, {**rest, f"{field}_v2": value}):
                yield json.dumps(changed).encode()
        fingerprint = avro_schemas.current(self.system.service.kind).fingerprint
        yield SINGLE_OBJECT + fingerprint + b"\x0e" + b"retyped"


INCOMPATIBLE = Kind(
    "kafka-incompatible-producer",
    "requests of a producer with another schema",
    Incompatible,
    targets=PARTITION_TARGETS,
    undo="nothing is left behind: each record is answered or a dead letter under the drill's id; the drill checks it",
    figure=None,
)
