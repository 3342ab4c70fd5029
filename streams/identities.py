"""Which topics the offsets in hand belong to: an offset means nothing in a topic that was deleted and made again.

A topic's id (KIP-516) is committed beside each offset. Where it is another than the topic has now, the offset is not
used, and the topic is read from its beginning.
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
_EVERY_S = 2.0

Ids = Mapping[str, str]


def ids_of(admin: AdminClient, topics: Iterable[str]) -> dict[str, str]:
    """The ids by topic, without those that are not there; blocks, and raises KafkaException if Kafka does not say."""
    found = {}
    for topic in topics:
        try:
            found[topic] = identity_of(admin, topic).topic_id
        except KafkaException as error:
            if error_of(error).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
    return found


class TopicIds:
    """The ids of the topics as they were when the partitions were assigned."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._noted: Ids = {}

    def note(self, ids: Ids) -> None:
        """These are the topics that are read from now on."""
        self._noted = ids

    def stamp(self, topic: str) -> str:
        """What is committed beside this topic's offsets; "" where its id is not known.

        The offsets of `interactions` say what `profiles` contains, so they end with that topic too.
        """
        ids = [self._noted.get(topic, "")]
        if topic == self._names.interactions:
            ids.append(self._noted.get(self._names.profiles, ""))
        return " ".join(ids) if all(ids) else ""

    def fits(self, topic: str, stamp: str) -> bool:
        """Whether offsets with this stamp are of the topic there is now; an earlier version committed none."""
        return not stamp or not self.stamp(topic) or stamp == self.stamp(topic)

    async def watch(self, admin: AdminClient, rejoin: Callable[[], None]) -> None:
        """Has the partitions assigned anew when a topic was made again; never ends."""
        told: dict[str, str] = {}
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                now = await asyncio.to_thread(ids_of, admin, sorted(self._noted))
            except KafkaException as error:
                _log.debug("topics not compared", reason=str(error))
                continue
            again = {topic: number for topic, number in now.items() if number != self._noted.get(topic, number)}
            if again and again != told:
                _log.warning("topics were made again and are read from their beginning", topics=sorted(again))
                rejoin()
            told = again
