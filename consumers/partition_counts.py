"""How many partitions the reply topics have that requests name."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaException

_METADATA_S = 5.0
_KNOWN_S = 1.0


class PartitionCounts:
    """0 for a topic that does not exist. Known for a second: callers delete their topics too.

    `client`: who asks Kafka; to be set before the first question.
    """

    client: Consumer

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._known_until = 0.0

    def __call__(self, topic: str) -> int:
        if time.monotonic() > self._known_until:
            self._known.clear()
            self._known_until = time.monotonic() + _KNOWN_S
        if topic not in self._known:
            try:
                found = self.client.list_topics(topic, timeout=_METADATA_S).topics.get(topic)
            except KafkaException:
                return 0
            if found is None or found.error is not None:
                return 0
            self._known[topic] = len(found.partitions)
        return self._known[topic]
