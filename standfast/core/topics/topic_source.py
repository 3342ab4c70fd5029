"""An identity for a topic's contents: it differs between clusters, and after the topic was created again."""

from __future__ import annotations

import hashlib

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from msgspec import Struct

from standfast.core.topics.topic_ids import identity_of


class Source(Struct, frozen=True):
    """One topic of one cluster."""

    identity: str  # 20 hexadecimal digits
    partitions: int


def source_of(admin: AdminClient, topic: str, within_s: float) -> Source:
    """The source of that topic, asked from Kafka; raises KafkaException, also if there is no such topic."""
    try:
        cluster = admin.describe_cluster(request_timeout=within_s).result(within_s)
    except TimeoutError:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None  # noqa: SLF001
    identity = identity_of(admin, topic, within_s)
    name = f"{cluster.cluster_id}/{topic}/{identity.topic_id}"
    return Source(hashlib.blake2b(name.encode(), digest_size=10).hexdigest(), identity.partitions)
