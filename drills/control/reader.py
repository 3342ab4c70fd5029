"""The control topic as the runner reads it: every partition, from the committed offset on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from drills.control.retry import Retry
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.deleted import Unread
from standfast.core.errors import ClusterError
from standfast.core.kafka_errors import error_of, is_partition_end
from standfast.core.processes import role_word
from standfast.core.settings import Settings
from standfast.core.topics.topic_ids import Identity, identity_of

TOPIC = "drills.control"
_GROUP = "standfast-drills"
_TIMEOUT_S = 10.0  # of each call to Kafka when the reader opens
_CHECK_EVERY_S = 2.0  # for partitions that were added, and for a topic that was deleted and created again
_MOST_FETCHED = 500  # commands that share one check of the topic's id, which is a request to Kafka
_CHECK_WITHIN_S = 1.0  # of each call to Kafka while the runner runs
_log = structlog.get_logger()


class Control:
    """Reads commands from assigned partitions, not as a member of the group: so it starts at once after a crash, and of
    two runners the journal's fencing decides which goes on, not a session timeout.

    The journal's transactions commit the offsets, each with its topic's id as metadata. A topic that was deleted and
    created again has another id and is read from its beginning, whatever was committed for the deleted one.
    """

    def __init__(self, settings: Settings, stopping: Callable[[], bool]) -> None:
        self.topic = settings.kafka.topic_prefix + TOPIC
        group = settings.kafka.topic_prefix + _GROUP
        self._consumer = Consumer(clients.consumer(settings, group, group, **{"enable.partition.eof": True}))
        self._admin = AdminClient(clients.base(settings, group))
        self._outage = Retry(f"{self.topic} cannot be read", stopping)
        self._unread = Unread(self.topic)
        self._identity = Identity("", 0)
        self._checked_at = float("-inf")
        self._reached: dict[int, int] = {}
        self._fetched: deque[Consumed] = deque()
        self._last_logged = ""

    def open(self) -> None:
        """Starts at the committed offsets; waits for Kafka and the topic. Raises StoppedWaiting."""
        while True:
            try:
                self._assign(identity_of(self._admin, self.topic, _TIMEOUT_S))
            except (KafkaException, ClusterError) as error:
                self._outage.wait(str(error))
            else:
                break
        self._outage.over()

    def next(self, within_s: float) -> Consumed | None:
        """The next command, None if there is none in time.

        The topic's id is checked after Kafka has sent a command and before the command is returned. When it was checked
        before, the topic could be deleted and created again in between, and its commands were answered twice, once
        under the id of the deleted topic. A command of a deleted topic is skipped with a log line: its offset can no
        longer be committed.
        """
        if not self._fetched:
            self._fetch(within_s)
        return self._fetched.popleft() if self._fetched else None

    def record(self, message: Consumed) -> str:
        """The record's unique name; the topic's id in it keeps it unique when the topic is created again."""
        return f"{message.topic()}-{message.partition()}-{message.offset()}@{self._identity.topic_id}"

    def after(self, message: Consumed) -> tuple[TopicPartition, ...]:
        """The offset to commit once this command is answered: the next one to read."""
        topic_id = self._identity.topic_id
        return (TopicPartition(message.topic(), message.partition(), message.offset() + 1, topic_id),)

    def is_read(self) -> bool:
        """Whether all commands that Kafka had at the time of the call were returned; False if Kafka does not say."""
        self._check_topic(0.0)
        if self._fetched:
            return False
        try:
            return all(self._at_end(position) for position in self._consumer.position(self._consumer.assignment()))
        except KafkaException as error:
            self._log_once(error_of(error).str())
            return False
        except TimeoutError:
            self._log_once("it does not say in time where the topic ends")
            return False

    def group(self) -> object:
        """The group metadata with which a transaction commits offsets."""
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()

    def _fetch(self, within_s: float) -> None:
        self._check_topic(_CHECK_EVERY_S)
        first = cast("Consumed | None", self._consumer.poll(within_s))
        if first is None:
            return
        messages = [first, *cast("list[Consumed]", self._consumer.consume(_MOST_FETCHED - 1, 0))]
        self._unread.read(self._consumer, messages)
        before = self._identity
        commands = [message for message in messages if self._is_command(message)]
        if commands:
            self._check_topic(0.0)
        if self._identity == before:
            self._fetched.extend(commands)
        elif self._identity.topic_id != before.topic_id:
            self._log_skipped(commands)

    def _is_command(self, message: Consumed) -> bool:
        if (error := message.error()) is None:
            return True
        self._note_error(error, message)
        return False

    def _log_skipped(self, commands: Sequence[Consumed]) -> None:
        for message in commands:
            _log.warning(
                "a command is left: it may be of the topic that is gone, and is read again if it is not",
                topic=self.topic,
                partition=message.partition(),
                offset=message.offset(),
            )

    def _at_end(self, position: TopicPartition) -> bool:
        """Whether the partition was read to its end.

        The end is asked over the admin client's connection: on the consumer's, the broker answers only after the fetch
        that waits there for up to 500 ms, and each fault waited as long.
        """
        role_word.beat()  # a partition without a leader takes the whole second, and there may be many
        partition = TopicPartition(position.topic, position.partition)
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        answers = self._admin.list_offsets({partition: latest}, request_timeout=_CHECK_WITHIN_S)
        end = answers[partition].result(_CHECK_WITHIN_S).offset
        return bool(max(position.offset, self._reached.get(position.partition, -1)) >= end)

    def _check_topic(self, at_least_every_s: float) -> None:
        """Assigns the partitions anew if the topic has more of them now, or was created again."""
        if time.monotonic() - self._checked_at < at_least_every_s:
            return
        try:
            identity = identity_of(self._admin, self.topic, _CHECK_WITHIN_S)
            if identity != self._identity:
                self._assign(identity)
        except KafkaException as error:
            self._log_once(error_of(error).str())
        else:
            self._last_logged = ""
        self._checked_at = time.monotonic()

    def _assign(self, identity: Identity) -> None:
        partitions = [TopicPartition(self.topic, number) for number in range(identity.partitions)]
        offsets = self._consumer.committed(partitions, _TIMEOUT_S)
        for start in offsets:
            if start.error is not None:
                raise KafkaException(start.error)
            of_deleted_topic = start.metadata not in {None, "", identity.topic_id}
            start.offset = 0 if of_deleted_topic else max(start.offset, 0)
        if self._identity.topic_id not in {"", identity.topic_id}:
            _log.warning("the topic was deleted and made again; it is read from its beginning", topic=self.topic)
        self._reached.clear()
        self._fetched.clear()
        self._unread.forget(range(identity.partitions))
        self._consumer.assign(offsets)
        self._identity = identity

    def _note_error(self, error: KafkaError, message: Consumed) -> None:
        if is_partition_end(error):
            self._reached[message.partition()] = message.offset()
        else:
            self._log_once(f"{error.str()} (partition {message.partition()}, offset {message.offset()})")

    def _log_once(self, error: str) -> None:
        """Logs an error unless it is the same as the last one."""
        if error != self._last_logged:
            _log.warning("kafka reports", topic=self.topic, error=error)
        self._last_logged = error
