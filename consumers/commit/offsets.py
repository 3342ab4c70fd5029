"""Commits offsets in at-least-once delivery, where no transaction does."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from consumers.commit.work import TopicPartitionKey, Work
from standfast.core.kafka_errors import error_of

_log = structlog.get_logger()


class Offsets:
    """Keeps offsets until Kafka has committed them: a later batch need not be of the same partitions."""

    def __init__(self) -> None:
        self._submitted: Mapping[TopicPartitionKey, int] = {}
        self._pending: dict[TopicPartitionKey, int] = {}

    def submitted(self, work: Work) -> None:
        """Notes the offsets of the batch whose answers are being delivered; they may be committed once these are."""
        self._submitted = work.offsets

    def commit(self, consumers: Mapping[str, Consumer]) -> bool:
        """Commits all offsets noted so far; blocks. True if none is left. Call it when the last batch is delivered.

        Args:
            consumers: by the topic that each reads.
        """
        self._pending.update(self._submitted)
        self._submitted = {}
        for topic, consumer in consumers.items():
            offsets = [TopicPartition(*key, offset) for key, offset in self._pending.items() if key[0] == topic]
            if not offsets:
                continue
            try:
                answers = consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as exception:  # for example a rebalance, or a broker that is down
                _log.warning("offsets not committed yet", error=str(error_of(exception)))
                continue
            for answer in answers:
                if answer.error is not None:
                    _log.warning("an offset is not committed yet", partition=answer.partition, error=str(answer.error))
                elif self._pending.get((answer.topic, answer.partition)) == answer.offset:
                    del self._pending[answer.topic, answer.partition]
        return not self._pending

    def forget(self, revoked: set[TopicPartitionKey]) -> None:
        """Drops the offsets of partitions that are given up: their next owner reads on from the committed ones."""
        self._submitted = {key: offset for key, offset in self._submitted.items() if key not in revoked}
        for key in revoked:
            self._pending.pop(key, None)
