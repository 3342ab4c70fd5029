"""Records that were being computed when their worker died: tried alone next time, dead-lettered after the second death.

A kill that probably came from outside counts half: after the first of them the records are computed as usual, and only
a record that was being computed at four of them is dead-lettered.

The supervisor keeps them, tells its workers, and saves them in one small file per service. In that file a record is
named by its topic's id, not by the topic's name: another cluster's topic, or one that was deleted and made again, has
other records at the same offsets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Lock

import msgspec
import structlog

from consumers.channel.heartbeat import RecordId
from consumers.requests.admission import Origin
from schemas.topics import BULK_SUFFIX
from standfast.core.keeping import set_aside, write_whole

DEATHS_ALLOWED = 2
ALONE_FROM = 1  # deaths
_OUTSIDE = 0.5  # how much of a death a kill from outside counts
_KEPT = 4096  # the most records: as many as a heartbeat names, and a message to a worker has room for
_BULK = 1 << 20  # added to the partition of a bulk request; more than a topic has partitions
_log = structlog.get_logger()


def record_id(origin: Origin) -> RecordId:
    """A record's name in heartbeats and among suspects: partition and offset; 2^20 is added to bulk partitions."""
    return record_at(origin.topic, origin.partition, origin.offset)


def record_at(topic: str, partition: int, offset: int) -> RecordId:
    """The id of the record at this topic, partition and offset."""
    return partition + (_BULK if topic.endswith(BULK_SUFFIX) else 0), offset


class KnownSuspects:
    """What a worker knows: `deaths` by record, replaced as a whole, so that any thread may read them."""

    def __init__(self) -> None:
        self.deaths: Mapping[RecordId, float] = {}

    def committed(self, offsets: Mapping[tuple[str, int], int]) -> list[RecordId]:
        """Forgets and returns the records before these committed offsets: no worker will compute them again."""
        if not self.deaths:
            return []
        ends = dict(record_at(topic, partition, offset) for (topic, partition), offset in offsets.items())
        cleared = [record for record in self.deaths if record[1] < ends.get(record[0], 0)]
        self.deaths = {record: count for record, count in self.deaths.items() if record not in cleared}
        return cleared


class Suspects:
    """Deaths by record of one service's request topics, in the supervisor; for one thread, except `save`.

    Args:
        path: the file in which they outlive the supervisor.
        topics: the topic of interactive requests and that of bulk ones.
    """

    def __init__(self, path: Path, topics: tuple[str, str]) -> None:
        self._path = path
        self._topics = topics
        self._ids: dict[str, str] = {}
        self._saving = Lock()
        self._deaths = _read(path)

    def topic_id(self, topic: str) -> str | None:
        """The id that `identify` was last told for the topic; None before that."""
        return self._ids.get(topic)

    def identify(self, topic: str, topic_id: str) -> bool:
        """Sets the id of the topic that has this name now; returns whether it has changed."""
        if self._ids.get(topic) == topic_id:
            return False
        if topic not in self._ids:  # records blamed before the id was known are kept under the name
            for name, partition, offset in [key for key in self._deaths if key[0] == topic]:
                self._deaths[topic_id, partition, offset] = self._deaths.pop((name, partition, offset))
        self._ids[topic] = topic_id
        return True

    def blame(self, records: Iterable[RecordId]) -> None:
        """Counts one more death against each of the records."""
        for record in records:
            key = (self._id_of(record), *record)
            self._deaths[key] = self._deaths.pop(key, 0) + 1
        for oldest in list(self._deaths)[:-_KEPT]:
            del self._deaths[oldest]

    def relieve(self, records: Iterable[RecordId]) -> None:
        """Makes the death that was counted last against each of the records a kill from outside."""
        for record in records:
            key = (self._id_of(record), *record)
            if key in self._deaths:
                self._deaths[key] -= 1 - _OUTSIDE

    def clear(self, records: Iterable[RecordId]) -> None:
        """Forgets records that are committed."""
        for record in records:
            self._deaths.pop((self._id_of(record), *record), None)

    def read(self) -> dict[RecordId, float]:
        """Deaths by record of the topics as they are now; empty when no record is suspected."""
        ids = {self._ids.get(topic, topic) for topic in self._topics}
        return {
            (partition, offset): deaths
            for (topic_id, partition, offset), deaths in self._deaths.items()
            if topic_id in ids
        }

    def save(self) -> None:
        """Writes the file; blocks. An error is only logged: the workers that run have been told already."""
        with self._saving:
            rows = [(*key, deaths) for key, deaths in dict(self._deaths).items()]
            try:
                write_whole(self._path, msgspec.json.encode(rows))
            except OSError as error:
                _log.error("suspects are not saved; a restart forgets them", path=str(self._path), error=str(error))

    def _id_of(self, record: RecordId) -> str:
        topic = self._topics[record[0] >= _BULK]
        return self._ids.get(topic, topic)


def _read(path: Path) -> dict[tuple[str, int, int], float]:
    try:
        rows = msgspec.json.decode(path.read_bytes(), type=list[tuple[str, int, int, float]])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        set_aside(path, str(error))
        return {}
    return {(topic_id, partition, offset): deaths for topic_id, partition, offset, deaths in rows}
