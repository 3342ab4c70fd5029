"""Which topic a name stands for: Kafka gives each topic an id (KIP-516), and one that is made again another.

An offset belongs to such a topic and not to its name: read on in a topic that was deleted and made again, it skips what
was written there meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient


@dataclass(frozen=True, slots=True)
class Identity:
    """One topic as it is now. All topics of a Kafka before 2.8 have the same id."""

    topic_id: str
    partitions: int


def identity_of(admin: AdminClient, topic: str, within_s: float = 10.0) -> Identity:
    """The topic of that name; blocks until a broker says so. Raises KafkaException, also if there is none."""
    answers = admin.describe_topics(TopicCollection([topic]), request_timeout=within_s)
    try:
        described = answers[topic].result(within_s)
    except TimeoutError:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None  # noqa: SLF001
    return Identity(str(described.topic_id), len(described.partitions))
