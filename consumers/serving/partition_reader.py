"""One request topic as one worker reads it: its consumer, its partitions, and the records that wait for a batch."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumers.commit.work import TopicPartitionKey, Work
from consumers.requests.admission import Origin, origin_of, origin_without_value
from consumers.serving.held import HeldPartitions, Waits
from standfast.core import telemetry
from standfast.core.consumed import Consumed
from standfast.core.deleted import Unread
from standfast.core.errors import Fenced
from standfast.core.kafka_errors import is_fenced, is_partition_end
from standfast.core.membership import leave

_log = structlog.get_logger()
# With 8 MiB of values waiting nothing more is polled. Larger reads are copied while the heartbeat names their records.
_MOST_BYTES = 8_388_608
# A new member that was assigned nothing subscribes again after 50 ms, for a second: then librdkafka rejoins by itself.
_ASK_AGAIN_S = 0.05
_ASK_AGAIN_TIMES = 20
_WAKE_S = 0.1  # the longest wait for the answer of a request that only wakes librdkafka's fetchers
_REFUSALS = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}
_COMMITTED_S = 0.5  # the longest wait for the committed offsets of a topic that was made again
_LEADERS_S = 0.05  # the longest wait for metadata, in a poll that found nothing

PartitionKeys = set[TopicPartitionKey]


class PartitionReader:
    """Reads one topic; used by one thread only: confluent-kafka holds a lock on a consumer while it polls.

    Args:
        consumer: not yet subscribed.
        window: the most records that wait here; Kafka keeps the others.
        settle: called with partitions before they are given up, and `True` if they are lost already.
        moved: called after partitions were assigned or given up.
        reading: called with partition and offset of large records before they are copied, and with none afterwards.
        waits: whether a record with this value cannot be decoded yet; its partition is then held back.
    """

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        window: int,
        settle: Callable[[PartitionKeys, bool], None],
        moved: Callable[[], None],
        reading: Callable[[Sequence[Origin]], None],
        waits: Waits | None = None,
    ) -> None:
        self.topic = topic
        self.consumer = consumer
        self.owned: PartitionKeys = set()
        self.waiting: deque[Origin] = deque()
        self.refused = ""  # Kafka has not let it read, and it has read nothing since
        self._held = HeldPartitions(consumer, waits)
        self._unread = Unread(topic)
        self._window = window
        self._settle = settle
        self._moved = moved
        self._reading = reading
        self._given_up: PartitionKeys = set()
        self._ends: dict[TopicPartitionKey, int] = {}
        self._ask_again = 0
        self._several_brokers = True  # until the first metadata response

    def join(self, *, impatient: bool = False) -> None:
        """Subscribes; partitions are assigned in one of the next polls.

        Args:
            impatient: subscribe again every 50 ms, up to 20 times, while nothing is assigned.
        """
        self._ask_again = _ASK_AGAIN_TIMES if impatient else 0
        self._subscribe()

    def leave(self, within_s: float) -> bool:
        """Leaves the group; False if that did not succeed for certain within so many seconds."""
        return leave(self.consumer, within_s)

    def fill(self, timeout: float) -> None:
        """Polls records up to the window; waits up to `timeout` seconds for a first one. Raises Fenced."""
        self.waiting.extend(self._held.released())
        room = self._window - len(self.waiting)
        if room <= 0 or sum(len(record.value or b"") for record in self.waiting) > _MOST_BYTES:
            return
        first = cast("Consumed | None", self.consumer.poll(timeout))
        if first is None:
            if timeout:
                self._wake()
            return
        more = cast("list[Consumed]", self.consumer.consume(room - 1, 0)) if room > 1 else []
        messages = (first, *more)
        self._unread.read(self.consumer, messages)
        ours = [message for message in messages if self._is_ours(message)]
        if self.refused and ours:
            self.refused = ""
        self._take(ours)

    def poll_paused(self) -> None:
        """Polls once, with all partitions paused, so that the member stays in its group and can rebalance."""
        self.consumer.pause(_topic_partitions(self.owned))
        message = cast("Consumed | None", self.consumer.poll(0))
        if message is not None and self._is_ours(message):  # of a partition that was assigned in this very poll
            self._take([message])

    def resume(self) -> None:
        """Ends the pause that `poll_paused` began."""
        self.consumer.resume(_topic_partitions(self.owned - self._held.partitions))

    def offsets_after(self, records: Sequence[Origin]) -> Work:
        """The offsets to commit when these records are answered, without the answers."""
        self._given_up.clear()
        offsets = {(record.topic, record.partition): record.offset + 1 for record in records}
        return Work([], offsets, [], self.consumer.consumer_group_metadata())

    def without_revoked(self, work: Work) -> Work:
        """The work without the partitions that were given up since `offsets_after`.

        That includes partitions that have come back since: the consumer reads them again from the committed offset.
        """
        return work.without((set(work.offsets) - self.owned) | self._given_up)

    def seek_to_beginning(self) -> dict[int, int]:
        """Seeks to offset 0 in each partition of a recreated topic of which nothing is committed and nothing waits.

        A consumer goes on at the old topic's offset where the new one has that many records. Kafka has dropped what was
        committed of the old one. Returns, for each other partition, the offset before which it may have passed over
        requests. Raises KafkaException.
        """
        first: dict[int, int] = {}
        for record in (*self.waiting, *self._held.records()):
            first[record.partition] = min(record.offset, first.get(record.partition, record.offset))
        passed: dict[int, int] = {}
        for place in self.consumer.committed(_topic_partitions(self.owned), _COMMITTED_S):
            reached = place.offset if place.offset >= 0 else first.get(place.partition)
            if reached is None:
                self.consumer.seek(TopicPartition(place.topic, place.partition, 0))
            elif reached > 0:
                passed[place.partition] = reached
        return passed

    def lags(self) -> dict[TopicPartitionKey, int]:
        """Records not answered yet, by partition; a partition whose end offset is not known yet is left out.

        Transaction markers at the end of a partition and deleted records at its start do not count, though both widen
        the gap between offsets.
        """
        lags: dict[TopicPartitionKey, int] = {}
        for position in self.consumer.position(_topic_partitions(self.owned)):
            key = (position.topic, position.partition)
            low, high = self.consumer.get_watermark_offsets(position, cached=True)
            reached = self._ends.get(key, -1)
            if high < 0 or max(position.offset, reached) < 0:
                continue
            lags[key] = 0 if reached >= high else max(0, high - max(position.offset, low, reached))
        for record in (*self.waiting, *self._held.records()):
            if (record.topic, record.partition) in lags:
                lags[record.topic, record.partition] += 1
        return lags

    def _take(self, messages: Sequence[Consumed]) -> None:
        if sum(map(len, messages)) <= _MOST_BYTES:
            self.waiting.extend(self._held.sift(map(origin_of, messages)))
            return
        self._reading([origin_without_value(message) for message in messages])
        self.waiting.extend(self._held.sift(map(origin_of, messages)))
        self._reading(())

    def _is_ours(self, message: Consumed) -> bool:
        if (error := message.error()) is None:
            return _key(message) in self.owned
        if is_partition_end(error):
            self._ends[_key(message)] = message.offset()
        elif is_fenced(error):
            raise Fenced(f"this worker's place in the group was taken ({error.str()})")
        elif error.code() in _REFUSALS:
            self._note_refusal(error)
        else:
            _log.warning("kafka reports", error=error.str())
        return False

    def _note_refusal(self, error: KafkaError) -> None:
        """Notes it; the client reports it once, and goes on trying twice a second."""
        at = time.strftime("%H:%M:%S UTC", time.gmtime())
        self.refused = f"was not allowed to read {self.topic} at {at}, and has read nothing since ({error.name()})"
        telemetry.READ_REFUSALS.labels(self.topic, error.name()).inc()
        _log.warning("kafka does not let the worker read", topic=self.topic, error=error.str())

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        kept = _topic_partitions(self.owned)
        if self._ask_again and not kept and not partitions:
            self._ask_again -= 1
            time.sleep(_ASK_AGAIN_S)
            self._subscribe()
        self.consumer.incremental_assign(partitions)
        self._unread.begin({partition.partition for partition in partitions})
        if kept:
            self._wake_fetchers(kept)
        self.owned |= _keys(partitions)
        self._moved()

    def _subscribe(self) -> None:
        """Subscribes, or subscribes again to join a cooperative rebalance sooner.

        A new member is first assigned nothing, while the other members are told to give up its future partitions. They
        do and rejoin at once, but librdkafka lets the new member rejoin only a second after its first try, and until
        then nobody reads those partitions. A subscribe from within the assign callback, before the assignment is
        applied, rejoins without that back-off.
        """
        self.consumer.subscribe(
            [self.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _wake(self) -> None:
        """Wakes an idle librdkafka, so that it sends its heartbeat and looks for new partition leaders.

        It does both only when woken: left alone it found new leaders up to 3 s after they were elected.
        """
        self.consumer.memberid()
        if self._several_brokers:
            with contextlib.suppress(KafkaException):
                metadata = self.consumer.list_topics(self.topic, timeout=_LEADERS_S)
                self._several_brokers = len(metadata.brokers) > 1

    def _wake_fetchers(self, kept: list[TopicPartition]) -> None:
        """Has the partitions that this worker keeps fetched again at once after a rebalance.

        librdkafka pauses and resumes them too, but wakes no thread when it resumes: its fetcher would sleep for up to a
        second more. A request to each partition's leader wakes it; the answer is not used.
        """
        ends = [TopicPartition(partition.topic, partition.partition, -1) for partition in kept]
        with contextlib.suppress(KafkaException):
            self.consumer.offsets_for_times(ends, _WAKE_S)

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._give_up(_keys(partitions), lost=False)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        _log.warning("partitions lost to another worker", partitions=sorted(_keys(partitions)))
        self._give_up(_keys(partitions), lost=True)

    def _give_up(self, revoked: PartitionKeys, *, lost: bool) -> None:
        """Gives up partitions. No batch is being computed, since the polling thread computes: only a commit may run."""
        self._settle(revoked, lost)
        # A pause outlives the assignment: if the partition came back later, it would never be read again.
        self.consumer.resume(_topic_partitions(revoked))
        self.owned -= revoked
        self._given_up |= revoked
        self._held.drop(revoked)
        self._unread.forget({partition for _, partition in revoked})
        self.waiting = deque(record for record in self.waiting if (record.topic, record.partition) not in revoked)
        for key in revoked:
            self._ends.pop(key, None)
        self._moved()


def _key(message: Consumed) -> TopicPartitionKey:
    return message.topic(), message.partition()


def _keys(partitions: Sequence[TopicPartition]) -> PartitionKeys:
    return {(partition.topic, partition.partition) for partition in partitions}


def _topic_partitions(keys: PartitionKeys) -> list[TopicPartition]:
    return [TopicPartition(*key) for key in keys]
