"""Each user's recent items, followed live from the `profiles` topic."""

from __future__ import annotations

import threading

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from schemas.codec import Codec, Malformed
from schemas.events import liked
from schemas.records import Profile, Seen
from standfast.errors import Unreadable

_log = structlog.get_logger()
_POLL = 500


class Histories:
    """A thread that keeps in memory what the profiles of all users say they like.

    A user may have a profile in more than one partition (callers' clients place keys differently): they are merged.
    """

    def __init__(self, consumer: Consumer, topic: str, codec: Codec) -> None:
        self._consumer = consumer
        self._topic = topic
        self._codec = codec
        self._seen: dict[str, dict[int, list[Seen]]] = {}
        self._caught_up = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="histories", daemon=True)

    def start(self, timeout: float) -> None:
        """Reads what is there, then goes on in the background; after `timeout` seconds goes on without the rest."""
        self._thread.start()
        if not self._caught_up.wait(timeout):
            _log.warning("profiles are still being read; answers use what is there", users=len(self._seen))

    def history(self, user_id: str) -> tuple[str, ...]:
        """The user's recent item ids, oldest first; empty for an unknown user."""
        by_partition = self._seen.get(user_id)
        if not by_partition:
            return ()
        if len(by_partition) == 1:
            (items,) = by_partition.values()
            return tuple(one.item_id for one in items)
        merged = sorted((one for items in by_partition.values() for one in items), key=lambda one: one.timestamp)
        return tuple(one.item_id for one in merged)

    def close(self) -> None:
        """Ends the thread."""
        self._closing.set()

    def _follow(self) -> None:
        while not self._closing.is_set():
            try:
                self._read_on(self._assign())
            except KafkaException as exception:
                _log.warning("profiles cannot be read, trying again", error=str(exception.args[0]))
                self._closing.wait(1.0)
        self._consumer.close()

    def _assign(self) -> dict[int, int]:
        """Starts from the beginning of every partition; returns where each ended at that moment."""
        found = self._consumer.list_topics(self._topic, timeout=10).topics[self._topic]
        places = [TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in found.partitions]
        self._consumer.assign(places)
        return {one.partition: self._consumer.get_watermark_offsets(one, timeout=10)[1] for one in places}

    def _read_on(self, ends: dict[int, int]) -> None:
        waiting = {partition for partition, end in ends.items() if end > 0}
        while not self._closing.is_set():
            messages = self._consumer.consume(_POLL, 0.1)
            for message in messages:
                if message.error() is None:
                    self._take(message.partition(), message.key(), message.value())
            if waiting:
                at = self._consumer.position([TopicPartition(self._topic, partition) for partition in waiting])
                waiting -= {one.partition for one in at if one.offset >= ends[one.partition]}
            if not waiting:
                self._caught_up.set()

    def _take(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        if value is None:
            self._seen.get((key or b"").decode("utf-8", "replace"), {}).pop(partition, None)
            return
        try:
            profile, _ = self._codec.decode(value, Profile)
        except (Unreadable, Malformed) as error:
            _log.warning("a profile cannot be read", partition=partition, error=str(error)[:300])
            return
        self._seen.setdefault(profile.user_id, {})[partition] = liked(profile.items)
