"""Offsets to commit in at-least-once delivery, where no transaction does."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from consumers.commit.work import TopicPartitionKey, Work
from standfast.core.kafka_errors import error_of

_log = structlog.get_logger()


class Offsets:
    """Keeps what is owed until Kafka has taken it: a later batch need not be of the same partitions."""

    def __init__(self) -> None:
        self._in_hand: Mapping[TopicPartitionKey, int] = {}
        self._owed: dict[TopicPartitionKey, int] = {}

    def submitted(self, work: Work) -> None:
        """The batch whose answers are on their way; its offsets are owed once they are delivered."""
        self._in_hand = work.offsets

    def commit(self, consumers: Mapping[str, Consumer]) -> bool:
        """Commits what is owed, with all that was submitted delivered; True if nothing is owed any more.

        Args:
            consumers: by the topic that each reads.
        """
        self._owed.update(self._in_hand)
        self._in_hand = {}
        for topic, consumer in consumers.items():
            places = [TopicPartition(*key, at) for key, at in self._owed.items() if key[0] == topic]
            if not places:
                continue
            try:
                answers = consumer.commit(offsets=places, asynchronous=False)
            except KafkaException as exception:  # a rebalance, a broker that is away
                _log.warning("offsets not committed yet", error=str(error_of(exception)))
                continue
            for answer in answers:
                if answer.error is not None:
                    _log.warning("an offset is not committed yet", partition=answer.partition, error=str(answer.error))
                elif self._owed.get((answer.topic, answer.partition)) == answer.offset:
                    del self._owed[answer.topic, answer.partition]
        return not self._owed

    def forget(self, gone: set[TopicPartitionKey]) -> None:
        """Of partitions given up nothing is owed any more: their next owner reads on from what is committed."""
        self._in_hand = {key: at for key, at in self._in_hand.items() if key not in gone}
        for key in gone:
            self._owed.pop(key, None)
