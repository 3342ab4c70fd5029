"""Tells whether committed offsets are of the topics that exist now, or of deleted topics with the same names.

A topic's id (KIP-516) is committed as metadata of each offset. If the topic has another id now, it was deleted and
created again: the offset is not used, and the topic is read from its beginning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from standfast.core.kafka_errors import error_of
from standfast.core.topics.topic_ids import identity_of
from streams.names import Names

_log = structlog.get_logger()
_COMPARE_EVERY_S = 2.0

Ids = Mapping[str, str]


def ids_of(admin: AdminClient, topics: Iterable[str]) -> dict[str, str]:
    """The ids of the topics that exist, by name. Blocks; raises KafkaException if Kafka does not answer."""
    ids = {}
    for topic in topics:
        try:
            ids[topic] = identity_of(admin, topic).topic_id
        except KafkaException as error:
            if error_of(error).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
    return ids


class TopicIds:
    """The topics' ids at the time when the partitions were assigned."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._assigned_ids: Ids = {}

    def note(self, ids: Ids) -> None:
        """Sets the ids of the topics that are read from now on."""
        self._assigned_ids = ids

    def stamp(self, topic: str) -> str:
        """The metadata to commit with this topic's offsets; "" if its id is not known.

        Offsets of `interactions` tell what `profiles` contains, so they are valid only for that `profiles` topic too.
        """
        ids = [self._assigned_ids.get(topic, "")]
        if topic == self._names.interactions:
            ids.append(self._assigned_ids.get(self._names.profiles, ""))
        return " ".join(ids) if all(ids) else ""

    def fits(self, topic: str, stamp: str) -> bool:
        """Whether offsets with this metadata are of today's topic. True for "": an early release wrote none."""
        return not stamp or not self.stamp(topic) or stamp == self.stamp(topic)

    async def watch(self, admin: AdminClient, rejoin: Callable[[], None]) -> None:
        """Calls `rejoin` when a topic was deleted and created again; never ends."""
        reported: dict[str, str] = {}
        while True:
            await asyncio.sleep(_COMPARE_EVERY_S)
            try:
                current_ids = await asyncio.to_thread(ids_of, admin, sorted(self._assigned_ids))
            except KafkaException as error:
                _log.debug("topics not compared", reason=str(error))
                continue
            assigned = self._assigned_ids
            recreated = {topic: now for topic, now in current_ids.items() if now != assigned.get(topic, now)}
            if recreated and recreated != reported:
                _log.warning("topics were made again and are read from their beginning", topics=sorted(recreated))
                rejoin()
            reported = recreated
