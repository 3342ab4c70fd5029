"""The control topic as the runner reads it: every partition, from the committed offset on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from drills.control.retry import Retry
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.deleted import Unread
from standfast.core.errors import ClusterError
from standfast.core.kafka_errors import error_of
from standfast.core.processes import role_word
from standfast.core.settings import Settings
from standfast.core.topics.topic_ids import Identity, identity_of

TOPIC = "drills.control"
_GROUP = "standfast-drills"
_TIMEOUT_S = 10.0
_LOOK_EVERY_S = 2.0  # for partitions that were added, and for a topic that was made again
_MOST_FETCHED = 500  # commands that share one look at the topic, which is a question to Kafka
_LOOK_WITHIN_S = 1.0
_log = structlog.get_logger()


class Control:
    """Reads commands without being a member of the group: it starts at once after a crash, and the journal's fencing,
    not a session timeout, decides which of two runners goes on. Offsets are committed by the journal's transactions.

    Each committed offset carries the id of its topic. A topic that was deleted and made again is read from its
    beginning, whatever was committed for the one before it.
    """

    def __init__(self, settings: Settings, stopping: Callable[[], bool]) -> None:
        self.topic = settings.kafka.topic_prefix + TOPIC
        group = settings.kafka.topic_prefix + _GROUP
        self._consumer = Consumer(clients.consumer(settings, group, group, **{"enable.partition.eof": True}))
        self._admin = AdminClient(clients.base(settings, group))
        self._outage = Retry(f"{self.topic} cannot be read", stopping)
        self._unread = Unread(self.topic)
        self._identity = Identity("", 0)
        self._looked = float("-inf")
        self._reached: dict[int, int] = {}
        self._fetched: deque[Consumed] = deque()
        self._said = ""

    def open(self) -> None:
        """Goes to the committed offsets; waits for Kafka and the topic. Raises Stopped."""
        while True:
            try:
                self._go_to(identity_of(self._admin, self.topic, _TIMEOUT_S))
            except (KafkaException, ClusterError) as error:
                self._outage.wait(str(error))
            else:
                break
        self._outage.over()

    def next(self, within_s: float) -> Consumed | None:
        """The next command, None if there is none in time.

        A command is given out only if its topic was looked at after Kafka sent it, and is still the one that was read.
        Looked at before, it could have been deleted and made again in between: its commands were then answered twice,
        once under the id of the topic that is gone. A command of a topic that is gone is left, with a log line: nobody
        could settle it.
        """
        if not self._fetched:
            self._fetch(within_s)
        return self._fetched.popleft() if self._fetched else None

    def record(self, message: Consumed) -> str:
        """The name of a command's record that no other record has, also of a topic that is made again."""
        return f"{message.topic()}-{message.partition()}-{message.offset()}@{self._identity.topic_id}"

    def after(self, message: Consumed) -> tuple[TopicPartition, ...]:
        """The offset that says this command is settled."""
        topic_id = self._identity.topic_id
        return (TopicPartition(message.topic(), message.partition(), message.offset() + 1, topic_id),)

    def is_read(self) -> bool:
        """Whether every command that Kafka had when this was asked has been given out; False if Kafka does not say."""
        self._look(0.0)
        if self._fetched:
            return False
        try:
            return all(self._is_read(place) for place in self._consumer.position(self._consumer.assignment()))
        except KafkaException as error:
            self._say(error_of(error).str())
            return False

    def group(self) -> object:
        """What a transaction needs to commit offsets for the group."""
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()

    def _fetch(self, within_s: float) -> None:
        self._look(_LOOK_EVERY_S)
        first = cast("Consumed | None", self._consumer.poll(within_s))
        if first is None:
            return
        messages = [first, *cast("list[Consumed]", self._consumer.consume(_MOST_FETCHED - 1, 0))]
        self._unread.read(self._consumer, messages)
        before = self._identity
        commands = [message for message in messages if self._is_command(message)]
        if commands:
            self._look(0.0)
        if self._identity == before:
            self._fetched.extend(commands)
        elif self._identity.topic_id != before.topic_id:
            self._leave(commands)

    def _is_command(self, message: Consumed) -> bool:
        if (error := message.error()) is None:
            return True
        self._heard(error, message)
        return False

    def _leave(self, commands: Sequence[Consumed]) -> None:
        for message in commands:
            _log.warning(
                "a command is left: it may be of the topic that is gone, and is read again if it is not",
                topic=self.topic,
                partition=message.partition(),
                offset=message.offset(),
            )

    def _is_read(self, place: TopicPartition) -> bool:
        role_word.beat()  # a partition that is not answered for takes a second, and there may be many
        low, high = self._consumer.get_watermark_offsets(place, timeout=_LOOK_WITHIN_S)
        return bool(max(place.offset, self._reached.get(place.partition, -1), low) >= high)

    def _look(self, at_least_every_s: float) -> None:
        """Sees whether the topic has more partitions now, or is another one."""
        if time.monotonic() - self._looked < at_least_every_s:
            return
        try:
            identity = identity_of(self._admin, self.topic, _LOOK_WITHIN_S)
            if identity != self._identity:
                self._go_to(identity)
        except KafkaException as error:
            self._say(error_of(error).str())
        else:
            self._said = ""
        self._looked = time.monotonic()

    def _go_to(self, identity: Identity) -> None:
        places = [TopicPartition(self.topic, number) for number in range(identity.partitions)]
        places = self._consumer.committed(places, _TIMEOUT_S)
        for place in places:
            if place.error is not None:
                raise KafkaException(place.error)
            of_another = place.metadata not in {None, "", identity.topic_id}
            place.offset = 0 if of_another else max(place.offset, 0)
        if self._identity.topic_id not in {"", identity.topic_id}:
            _log.warning("the topic was deleted and made again; it is read from its beginning", topic=self.topic)
        self._reached.clear()
        self._fetched.clear()
        self._unread.forget(range(identity.partitions))
        self._consumer.assign(places)
        self._identity = identity

    def _heard(self, error: KafkaError, message: Consumed) -> None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._reached[message.partition()] = message.offset()
        else:
            self._say(f"{error.str()} (partition {message.partition()}, offset {message.offset()})")

    def _say(self, error: str) -> None:
        """Logs an error once, not as often as it comes."""
        if error != self._said:
            _log.warning("kafka reports", topic=self.topic, error=error)
        self._said = error
