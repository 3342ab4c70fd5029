"""Reads each host's status from the topic `status`, and tells which hosts are gone (`hosts_heard` says when)."""

from __future__ import annotations

import time
from types import TracebackType
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.hosts.hosts_heard import GONE_S, HostSeen, HostsHeard
from standfast.core.kafka_errors import error_of, is_partition_end
from standfast.core.settings import Settings
from standfast.core.status import TOPIC

__all__ = ["GONE_S", "HostSeen", "HostStatuses"]
_SPEAKS_WITHIN_S = 2.5  # a living host writes a record within this time, twice at least
_QUIET_S = 1.2  # without a record for longer than a host's 1 s, Kafka is asked whether it answers
_ASK_S = 0.5
_ANSWER_S = 1.0
_READ_AT_ONCE = 500


class HostStatuses:
    """Follows the topic from its beginning; call `update` at least once a second. Not thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._consumer = Consumer({**clients.follower(settings, "standfast-hosts"), "enable.partition.eof": True})
        self._ends: dict[int, int] = {}  # each partition's end offset when the reader began
        self._behind: set[int] = set()  # partitions not yet read to their end
        self._heard = HostsHeard()
        self._caught_up_at: float | None = None
        self._heard_at = self._ask_at = time.monotonic()
        self.problem = f"{self._topic} has not been read yet"

    def hosts(self) -> list[HostSeen]:
        """Every host with a record, by name. While Kafka does not answer (see `problem`), no host becomes gone."""
        return self._heard.hosts()

    def is_settled(self) -> bool:
        """Whether all records were read, and every host in doubt has had time for another one."""
        if self._caught_up_at is None:
            return False
        return not self._heard.doubts or time.monotonic() - self._caught_up_at > _SPEAKS_WITHIN_S

    def settle(self, within_s: float) -> None:
        """Reads until it is known of every host whether it is gone, or `within_s` seconds are over.

        `problem` is empty, or says why the topic cannot be read.
        """
        deadline = time.monotonic() + within_s
        while not self.is_settled() and (left := deadline - time.monotonic()) > 0:
            self.update(min(left, 0.05))

    def update(self, within_s: float) -> None:
        """Reads new records; waits for one for `within_s` seconds, and a second longer if Kafka does not answer."""
        if not self._ends and not self._begin():
            time.sleep(within_s)
            return
        messages = cast("list[Consumed]", self._consumer.consume(_READ_AT_ONCE, within_s))
        if any(message.error() is None or is_partition_end(message.error()) for message in messages):
            self._heard_at = time.monotonic()
            self._is_abreast()
        for message in messages:
            self._take(message)
        if not self._behind and self._caught_up_at is None:
            self._caught_up_at = time.monotonic()
        if not messages:
            self._check_silence()

    def close(self) -> None:
        """Closes the consumer."""
        self._consumer.close()

    def __enter__(self) -> HostStatuses:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> bool:
        """Assigns the topic's partitions and notes their end offsets; False if Kafka or the topic is missing."""
        if self._ask_at > time.monotonic():
            return False
        self._ask_at = time.monotonic() + _ASK_S
        try:
            metadata = self._consumer.list_topics(self._topic, timeout=_ANSWER_S).topics[self._topic]
            if metadata.error is not None:
                raise KafkaException(metadata.error)
            partitions = [TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in metadata.partitions]
            ends = {partition.partition: self._end(partition) for partition in partitions}
        except KafkaException as error:
            self.problem = f"{self._topic} cannot be read: {error_of(error).str()}"
            return False
        self._consumer.assign(partitions)
        self._ends, self._behind = ends, set(ends)
        self._heard.begin(ends)
        return True

    def _end(self, partition: TopicPartition) -> int:
        """The partition's end offset; raises KafkaException."""
        bounds = self._consumer.get_watermark_offsets(partition, timeout=_ANSWER_S, cached=False)
        if bounds is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
        return int(bounds[1])

    def _take(self, message: Consumed) -> None:
        if is_partition_end(message.error()):
            self._behind.discard(message.partition())
        if message.error() is None:
            self._heard.take(message)

    def _is_abreast(self) -> None:
        self._heard.is_abreast()
        self.problem = ""

    def _check_silence(self) -> None:
        """Asks Kafka for the end offsets if no record came for 1.2 s: are all hosts gone, or is Kafka?"""
        now = time.monotonic()
        if now - self._heard_at < _QUIET_S or now < self._ask_at:
            return
        self._ask_at = now + _ASK_S
        try:
            for partition in self._ends:
                self._end(TopicPartition(self._topic, partition))
        except KafkaException as error:
            self.problem = f"{self._topic} cannot be read: {error_of(error).str()}"
        else:
            self._is_abreast()
