"""The control topic as the runner reads it: every partition, from the committed offset on."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from drills.outage import Outage
from drills.places import partitions_of
from standfast import clients
from standfast.errors import ClusterError
from standfast.settings import Settings

TOPIC = "drills.control"
_GROUP = "standfast-drills"
_TIMEOUT_S = 10.0


class Control:
    """Reads commands without being a member of the group: it starts at once after a crash, and the journal's fencing,
    not a session timeout, decides which of two runners goes on. Offsets are committed by the journal's transactions.
    """

    def __init__(self, settings: Settings, stopping: Callable[[], bool]) -> None:
        self.topic = settings.kafka.topic_prefix + TOPIC
        group = settings.kafka.topic_prefix + _GROUP
        self._consumer = Consumer(clients.consumer(settings, group, group))
        self._outage = Outage(f"{self.topic} cannot be read", stopping)

    def open(self) -> None:
        """Goes to the committed offsets; waits for Kafka and the topic. Raises Stopped."""
        while True:
            try:
                numbers = range(partitions_of(self._consumer, self.topic))
                places = self._consumer.committed([TopicPartition(self.topic, one) for one in numbers], _TIMEOUT_S)
            except (KafkaException, ClusterError) as error:
                self._outage.wait(str(error))
            else:
                break
        self._outage.over()
        for place in places:
            place.offset = place.offset if place.offset >= 0 else OFFSET_BEGINNING
        self._consumer.assign(places)

    def next(self, within_s: float) -> Message | None:
        """The next command, None if there is none in time."""
        message = self._consumer.poll(within_s)
        return None if message is None or message.error() is not None else message

    def group(self) -> object:
        """What a transaction needs to commit offsets for the group."""
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()


def after(message: Message) -> tuple[TopicPartition, ...]:
    """The offset that says this command is settled."""
    return (TopicPartition(message.topic(), message.partition(), message.offset() + 1),)
