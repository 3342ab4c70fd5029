"""Logs and counts records that Kafka deleted before they were read.

Kafka's retention goes by the records' timestamps, whether they were read or not. A consumer whose next offset is gone
is reset to the first one left; librdkafka reports that in a line of its log and nowhere else. For topics with an
`Unread` reader in this process, that line is replaced by one with the missing offsets.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Collection, Sequence
from weakref import WeakValueDictionary

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from standfast.core import telemetry
from standfast.core.consumed import Consumed
from standfast.core.kafka_errors import is_partition_end

_log = structlog.get_logger()
_kafka = logging.getLogger("kafka")
_RESET = re.compile(r"(\S+) \[(\d+)\]: offset reset \(at offset (\d+)\D.* to offset BEGINNING")
_ANSWER_S = 0.5
_readers: WeakValueDictionary[str, Unread] = WeakValueDictionary()


class Unread:
    """The offsets one reader missed of its topic.

    A reader without a committed offset starts at the first record that is left, and librdkafka does not report what was
    deleted before: such a reader calls `begin`, or assigns offset 0 itself.
    """

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._begun: set[int] = set()
        self._noted: deque[tuple[int, int]] = deque()
        self._missing: dict[int, int] = {}
        _readers[topic] = self

    def begin(self, partitions: Collection[int]) -> None:
        """Notes partitions that are read from now on, from their committed offsets where there are some."""
        self._begun |= set(partitions)

    def note(self, partition: int, offset: int) -> None:
        """Notes that the client was reset from this offset to the first one left."""
        self._noted.append((partition, offset))

    def read(self, consumer: Consumer, messages: Sequence[Consumed]) -> None:
        """Reports the gap before these messages once one of them lies behind it; costs nothing where there is no gap.

        Args:
            messages: as the consumer returned them, end-of-partition events included.
        """
        while self._noted:
            partition, missing = self._noted.popleft()
            if _is_beyond_the_end(consumer, TopicPartition(self.topic, partition), missing):
                about = {"topic": self.topic, "partition": partition, "offset": missing}
                _log.warning("an offset is beyond the end; its partition is read from its beginning", **about)
            else:
                self._missing[partition] = min(missing, self._missing.get(partition, missing))
        for message in messages if self._begun or self._missing else ():
            error, partition, first = message.error(), message.partition(), message.offset()
            if not (error is None or is_partition_end(error)):
                continue
            if partition in self._begun:
                self._begun.discard(partition)
                if self._report_if_begun_late(consumer, message):
                    self._missing.pop(partition, None)  # the same records: the client had begun before they were gone
            if first >= self._missing.get(partition, first + 1):
                report_deleted(self.topic, partition, self._missing.pop(partition), first)

    def forget(self, partitions: Collection[int]) -> None:
        """Drops what is noted of revoked partitions: their next reader is reset in the same way and reports it."""
        self._noted = deque((partition, offset) for partition, offset in self._noted if partition not in partitions)
        self._begun.difference_update(partitions)
        for partition in partitions:
            self._missing.pop(partition, None)

    def _report_if_begun_late(self, consumer: Consumer, first: Consumed) -> bool:
        """Reports what was deleted before a group that had committed nothing began; returns whether anything was.

        It asks Kafka for the committed offset only if the first record read is the oldest one left and not at offset 0:
        a request for each new partition would delay every takeover.
        """
        place = TopicPartition(self.topic, first.partition())
        if not 0 < first.offset() == consumer.get_watermark_offsets(place, cached=True)[0]:
            return False
        try:
            (committed,) = consumer.committed([place], _ANSWER_S)
        except KafkaException as error:
            _log.debug("whether records were deleted unread is not known", topic=self.topic, error=str(error))
            return False
        if committed.error is not None or committed.offset >= 0:
            return False
        report_deleted(self.topic, first.partition(), 0, first.offset())
        return True


def report_deleted(topic: str, partition: int, missing: int, first: int) -> None:
    """Logs and counts the deleted offsets, from `missing` up to and without `first`."""
    if first > missing:
        telemetry.DELETED_UNREAD.labels(topic).inc(first - missing)
        about = {"topic": topic, "partition": partition, "from_offset": missing, "to_offset": first - 1}
        _log.warning("records were deleted before they were read", **about)


def _is_beyond_the_end(consumer: Consumer, partition: TopicPartition, offset: int) -> bool:
    """Whether the partition ends before the offset, as in a topic that was deleted and created again."""
    try:
        return bool(consumer.get_watermark_offsets(partition, timeout=_ANSWER_S)[1] < offset)
    except KafkaException:
        return False


class ClientLog:
    """The `logger` of all our librdkafka clients."""

    def log(self, level: int, template: str, *args: object) -> None:
        """Logs a client's line; one about an offset reset goes to the topic's `Unread` instead, if there is one."""
        if (reset := _RESET.search(template % args)) and (reader := _readers.get(reset[1])) is not None:
            reader.note(int(reset[2]), int(reset[3]))
        else:
            _kafka.log(level, template, *args)
