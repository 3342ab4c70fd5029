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
from consumers.requests.admission import Origin, origin_of, place_of
from consumers.serving.held import HeldPartitions, Waits
from standfast.core.consumed import Consumed
from standfast.core.deleted import Unread
from standfast.core.errors import Fenced
from standfast.core.kafka_errors import is_fenced
from standfast.core.membership import leave

_log = structlog.get_logger()
_MOST_BYTES = 8_388_608
_ASK_AGAIN_S = 0.05
_ASKED_AGAIN = 20
_WAKE_S = 0.1
_LEADERS_S = 0.05

Places = set[TopicPartitionKey]


class PartitionReader:
    """Belongs to the one thread that polls it: confluent-kafka holds a lock on a consumer for as long as a poll lasts.

    Args:
        consumer: not yet subscribed.
        window: the most records that wait here; Kafka keeps the others.
        settle: called with partitions that are being given up, before they are; `True` where they are lost already.
        moved: called when partitions have come or gone.
        reading: called with the places of large records before they are copied, and with none afterwards.
        waits: tells of a record's value whether it cannot be decoded yet; it is then held back with its partition.
    """

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        window: int,
        settle: Callable[[Places, bool], None],
        moved: Callable[[], None],
        reading: Callable[[Sequence[Origin]], None],
        waits: Waits | None = None,
    ) -> None:
        self.topic = topic
        self.consumer = consumer
        self.owned: Places = set()
        self.waiting: deque[Origin] = deque()
        self._held = HeldPartitions(consumer, waits)
        self._unread = Unread(topic)
        self._window = window
        self._settle = settle
        self._moved = moved
        self._reading = reading
        self._given_up: Places = set()
        self._ends: dict[TopicPartitionKey, int] = {}
        self._ask_again = 0
        self._several_brokers = True  # until it is known

    def join(self, *, impatient: bool = False) -> None:
        """Asks for partitions; they come with one of the next polls. Impatient: with nothing to do until then."""
        self._ask_again = _ASKED_AGAIN if impatient else 0
        self._subscribe()

    def leave(self, within_s: float) -> bool:
        """Gives up the place in the group; False if that is not sure."""
        return leave(self.consumer, within_s)

    def fill(self, timeout: float) -> None:
        """Takes what Kafka has, up to the window; waits up to `timeout` seconds for a first record. Raises Fenced."""
        self.waiting.extend(self._held.released())
        room = self._window - len(self.waiting)
        if room <= 0 or sum(len(one.value or b"") for one in self.waiting) > _MOST_BYTES:
            return
        first = cast("Consumed | None", self.consumer.poll(timeout))
        if first is None:
            if timeout:
                self._wake()
            return
        more = cast("list[Consumed]", self.consumer.consume(room - 1, 0)) if room > 1 else []
        messages = (first, *more)
        self._unread.read(self.consumer, messages)
        self._take([message for message in messages if self._is_ours(message)])

    def stand_still(self) -> None:
        """Polls once for the group's sake while nothing can be taken; what comes nevertheless is ours, and waits."""
        places = _places(self.owned)
        self.consumer.pause(places)
        message = cast("Consumed | None", self.consumer.poll(0))
        if message is not None and self._is_ours(message):  # of a partition that was assigned by this very poll
            self._take([message])

    def go_on(self) -> None:
        """Ends `stand_still`."""
        self.consumer.resume(_places(self.owned - self._held.places))

    def owed(self, records: Sequence[Origin]) -> Work:
        """The offsets that these records will commit; their answers are still to come."""
        self._given_up.clear()
        offsets = {(record.topic, record.partition): record.offset + 1 for record in records}
        return Work([], offsets, [], self.consumer.consumer_group_metadata())

    def still_ours(self, work: Work) -> Work:
        """The work less what came from partitions that were given up since `owed`.

        Given up and got back meanwhile is not ours either: the consumer reads it again from the committed offset.
        """
        return work.without((set(work.offsets) - self.owned) | self._given_up)

    def lags(self) -> dict[TopicPartitionKey, int]:
        """Records not answered yet, by partition, as far as known here.

        What a transaction's markers and deleted records add to offsets is not counted; a partition whose end is not
        known is left out.
        """
        lags: dict[TopicPartitionKey, int] = {}
        for at in self.consumer.position(_places(self.owned)):
            place = (at.topic, at.partition)
            low, high = self.consumer.get_watermark_offsets(at, cached=True)
            reached = self._ends.get(place, -1)
            if high < 0 or max(at.offset, reached) < 0:
                continue
            lags[place] = 0 if reached >= high else max(0, high - max(at.offset, low, reached))
        for one in (*self.waiting, *self._held.records()):
            if (one.topic, one.partition) in lags:
                lags[one.topic, one.partition] += 1
        return lags

    def _take(self, messages: Sequence[Consumed]) -> None:
        if sum(map(len, messages)) <= _MOST_BYTES:
            self.waiting.extend(self._held.sift(map(origin_of, messages)))
            return
        self._reading([place_of(message) for message in messages])
        self.waiting.extend(self._held.sift(map(origin_of, messages)))
        self._reading(())

    def _is_ours(self, message: Consumed) -> bool:
        if (error := message.error()) is None:
            return _place(message) in self.owned
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - confluent_kafka's own name for it
            self._ends[_place(message)] = message.offset()
        elif is_fenced(error):
            raise Fenced(f"this worker's place in the group was taken ({error.str()})")
        else:
            _log.warning("kafka reports", error=error.str())
        return False

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        kept = _places(self.owned)
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
        """Asks for partitions, or once more for them.

        A newcomer is first told that it gets nothing, and the others to give up what will be its own. They do so and
        join again at once; the newcomer would, by librdkafka's own back-off, a second after its first try, and all the
        while nobody would have these partitions. A subscription made in the callback, before what it tells is taken
        over, is carried out without back-off.
        """
        self.consumer.subscribe(
            [self.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _wake(self) -> None:
        """With nothing to read: has librdkafka see to its heartbeat, and look whether a partition has a new leader.

        Both it does only when it is woken; by itself it found new leaders up to 3 s after they were elected.
        """
        self.consumer.memberid()
        if self._several_brokers:
            with contextlib.suppress(KafkaException):
                metadata = self.consumer.list_topics(self.topic, timeout=_LEADERS_S)
                self._several_brokers = len(metadata.brokers) > 1

    def _wake_fetchers(self, kept: list[TopicPartition]) -> None:
        """Has the partitions that we keep go on at once after a rebalance.

        librdkafka pauses and resumes them too, but wakes nobody when it resumes: the thread that fetches would sleep on
        for up to a second. A question to each partition's leader wakes it; the answer is of no interest.
        """
        with contextlib.suppress(KafkaException):
            self.consumer.offsets_for_times([TopicPartition(one.topic, one.partition, -1) for one in kept], _WAKE_S)

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._give_up(_keys(partitions), lost=False)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        _log.warning("partitions lost to another worker", partitions=sorted(_keys(partitions)))
        self._give_up(_keys(partitions), lost=True)

    def _give_up(self, gone: Places, *, lost: bool) -> None:
        """Nothing is being computed here, because polling and computing share a thread: only the commit is awaited."""
        self._settle(gone, lost)
        # A pause outlives the assignment: got back later, the partition would never be read again.
        self.consumer.resume(_places(gone))
        self.owned -= gone
        self._given_up |= gone
        self._held.drop(gone)
        self._unread.forget({partition for _, partition in gone})
        self.waiting = deque(one for one in self.waiting if (one.topic, one.partition) not in gone)
        for place in gone:
            self._ends.pop(place, None)
        self._moved()


def _place(message: Consumed) -> TopicPartitionKey:
    return message.topic(), message.partition()


def _keys(partitions: Sequence[TopicPartition]) -> Places:
    return {(partition.topic, partition.partition) for partition in partitions}


def _places(keys: Places) -> list[TopicPartition]:
    return [TopicPartition(*key) for key in keys]
