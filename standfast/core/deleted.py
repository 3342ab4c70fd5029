"""Records that Kafka deleted before they were read: told with their offsets, and counted.

Kafka deletes by the records' own timestamps, read or not. A consumer whose next offset is gone goes on at what is left;
librdkafka says so in a line of its log and nowhere else. Where the topic is somebody's here, that line becomes ours.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Collection, Sequence
from weakref import WeakValueDictionary

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from standfast.core import telemetry
from standfast.core.consumed import Consumed

_log = structlog.get_logger()
_kafka = logging.getLogger("kafka")
_RESET = re.compile(r"(\S+) \[(\d+)\]: offset reset \(at offset (\d+)\D.* to offset BEGINNING")
_ANSWER_S = 0.5
_END = KafkaError._PARTITION_EOF  # noqa: SLF001 - how the client names it
_readers: WeakValueDictionary[str, Unread] = WeakValueDictionary()


class Unread:
    """What one reader missed of its topic; a reader begins at offset 0 where it does not know better.

    Begun at `OFFSET_BEGINNING` it would be sent to what is left without a word.
    """

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._noted: deque[tuple[int, int]] = deque()
        self._missing: dict[int, int] = {}
        _readers[topic] = self

    def note(self, partition: int, offset: int) -> None:
        """The client found nothing at this offset, and goes on at the first that is left."""
        self._noted.append((partition, offset))

    def read(self, consumer: Consumer, messages: Sequence[Consumed]) -> None:
        """Tells of what was missed before these, as soon as one is behind it; costs nothing where nothing was.

        Args:
            messages: as the consumer gave them out, the ends of partitions included.
        """
        while self._noted:
            partition, missing = self._noted.popleft()
            if _is_beyond_the_end(consumer, TopicPartition(self.topic, partition), missing):
                about = {"topic": self.topic, "partition": partition, "offset": missing}
                _log.warning("an offset is beyond the end; its partition is read from its beginning", **about)
            else:
                self._missing[partition] = min(missing, self._missing.get(partition, missing))
        for message in messages if self._missing else ():
            error, partition, first = message.error(), message.partition(), message.offset()
            if not (error is None or error.code() == _END):
                continue
            if first >= self._missing.get(partition, first + 1):
                report_deleted(self.topic, partition, self._missing.pop(partition), first)

    def forget(self, partitions: Collection[int]) -> None:
        """These are given up: whoever reads them next finds the same."""
        self._noted = deque(one for one in self._noted if one[0] not in partitions)
        for partition in partitions:
            self._missing.pop(partition, None)


def report_deleted(topic: str, partition: int, missing: int, first: int) -> None:
    """Logs and counts what was deleted: the offsets from `missing` to the one before `first`."""
    if first > missing:
        telemetry.DELETED_UNREAD.labels(topic).inc(first - missing)
        about = {"topic": topic, "partition": partition, "from_offset": missing, "to_offset": first - 1}
        _log.warning("records were deleted before they were read", **about)


def _is_beyond_the_end(consumer: Consumer, place: TopicPartition, offset: int) -> bool:
    """As in a topic that was deleted and made again."""
    try:
        return bool(consumer.get_watermark_offsets(place, timeout=_ANSWER_S)[1] < offset)
    except KafkaException:
        return False


class ClientLog:
    """The `logger` of every librdkafka client of ours."""

    def log(self, level: int, template: str, *said: object) -> None:
        """Logs what a client says, unless a reader here says it better."""
        if (reset := _RESET.search(template % said)) and (reader := _readers.get(reset[1])) is not None:
            reader.note(int(reset[2]), int(reset[3]))
        else:
            _kafka.log(level, template, *said)
