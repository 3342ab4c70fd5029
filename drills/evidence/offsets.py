"""The first and last offsets of a topic's partitions."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from standfast.core.errors import ClusterError
from standfast.core.kafka_errors import error_of

_TIMEOUT_S = 10.0  # of one request to Kafka, and until `bounds` gives up
_LEADER_S = 30.0  # until the partition has a leader
_RETRY_S = 0.1


def partitions_of(client: Producer | Consumer, topic: str) -> int:
    """How many partitions a topic has; raises ClusterError if it does not exist."""
    metadata = client.list_topics(topic, timeout=_TIMEOUT_S).topics[topic]
    if metadata.error is not None or not metadata.partitions:
        raise ClusterError(f"the topic {topic} does not exist; create it with `standfast topics`")
    return len(metadata.partitions)


def ends_of(consumer: Consumer, topic: str) -> list[TopicPartition]:
    """The end offset of every partition, to assign a consumer there; raises ClusterError or KafkaException."""
    count = partitions_of(consumer, topic)
    return [TopicPartition(topic, number, bounds(consumer, topic, number)[1]) for number in range(count)]


def bounds(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """The first offset and the one after the last; raises KafkaException if no broker answers within 10 s.

    It tries again meanwhile, for 30 s where a broker answers that another one leads: a topic that was just created, or
    whose leader just changed, has no leader for a moment, and on a busy machine one such answer took 10 s to come.
    """
    began = time.monotonic()
    while True:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT_S)
        except KafkaException as error:
            moves = error_of(error).code() in {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}
            if time.monotonic() > began + (_LEADER_S if moves else _TIMEOUT_S):
                raise
            time.sleep(_RETRY_S)
        else:
            return int(low), int(high)
