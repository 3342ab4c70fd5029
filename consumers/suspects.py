"""Records that were being computed when their worker died: tried alone next time, dead-lettered after the second death.

Kept in one small file per service, written by the supervisor before it hands the partitions on and read by the worker
that gets them, so that neither a restart nor a rebalance forgets a suspect.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from consumers.admission import Origin
from consumers.ledger import RecordId
from schemas.topics import BULK_SUFFIX

DEATHS_ALLOWED = 2
_KEPT = 10_000
_BULK = 1 << 20  # more than a topic has partitions


def record_id(origin: Origin) -> RecordId:
    """What a record goes by in ledgers and among suspects: partition and offset, bulk partitions numbered apart."""
    return origin.partition + (_BULK if origin.topic.endswith(BULK_SUFFIX) else 0), origin.offset


class Suspects:
    """Deaths by record (partition, offset) of one service's request topics."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[RecordId, int]:
        """Deaths by record; empty when nothing is suspected."""
        try:
            rows = msgspec.json.decode(self._path.read_bytes(), type=list[tuple[int, int, int]])
        except FileNotFoundError:
            return {}
        return {(partition, offset): deaths for partition, offset, deaths in rows}

    def blame(self, records: Iterable[RecordId]) -> None:
        """Counts one more death against each of the records."""
        deaths = self.read()
        for record in records:
            deaths[record] = deaths.pop(record, 0) + 1
        rows = [(*record, count) for record, count in deaths.items()][-_KEPT:]
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(rows))
        fresh.replace(self._path)
