"""The id of the topic that a name stands for: Kafka gives a topic that is deleted and created again a new id (KIP-516).

An offset belongs to a topic id, not to a name: used in a topic that was deleted and created again, it skips the records
that were written there meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient


@dataclass(frozen=True, slots=True)
class Identity:
    """One topic's id and number of partitions. Kafka before 2.8 has no ids: all topics have the same one there."""

    topic_id: str
    partitions: int


def identity_of(admin: AdminClient, topic: str, within_s: float = 10.0) -> Identity:
    """The identity of the topic of that name, asked from a broker. Raises KafkaException, also if there is none."""
    answers = admin.describe_topics(TopicCollection([topic]), request_timeout=within_s)
    try:
        described = answers[topic].result(within_s)
    except TimeoutError:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None  # noqa: SLF001
    return Identity(str(described.topic_id), len(described.partitions))
