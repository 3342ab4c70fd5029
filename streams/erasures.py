"""Profiles that somebody else deletes (a person asked for it) are forgotten here too, not written again from memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

from confluent_kafka import Consumer, TopicPartition

from schemas.times import record_ms
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.settings import Settings

# On the deletions that this process writes itself: to read one of those as somebody's would forget what came after it.
MARK = ("standfast-erased", b"")

_AT_ONCE = 500
_WAIT_S = 0.5

Erase = Callable[[int, bytes, int], None]


class Erasures:
    """Follows `profiles` from where it was read to.

    Args:
        erase: gets the partition, the user's key and when the profile was deleted.
        reached: gets the offsets before which everything was looked at, by partition.
    """

    def __init__(self, settings: Settings, topic: str, erase: Erase, reached: Callable[[dict[int, int]], None]) -> None:
        self._consumer = Consumer(clients.follower(settings, "stream-erasures"))
        self._topic = topic
        self._erase = erase
        self._reached = reached
        self._starts = 0

    def restart_from(self, ends: Mapping[int, int]) -> None:
        """Goes on at these offsets."""
        self._starts += 1
        self._consumer.assign([TopicPartition(self._topic, place, offset) for place, offset in ends.items()])

    async def follow(self) -> None:
        """Never ends."""
        while True:
            starts = self._starts
            messages = cast("list[Consumed]", await asyncio.to_thread(self._consumer.consume, _AT_ONCE, _WAIT_S))
            for message in messages:
                self.take(message)
            if starts == self._starts:  # else they may be of a topic that was deleted since
                self._reached(
                    {message.partition(): message.offset() + 1 for message in messages if not message.error()}
                )

    def take(self, message: Consumed) -> None:
        """Has the profile forgotten, if the record deletes one."""
        key, place = message.key(), message.partition()
        if message.error() or message.value() is not None or key is None or _is_ours(message):
            return
        self._erase(place, key, record_ms(message.timestamp()[1]))


def _is_ours(message: Consumed) -> bool:
    try:
        return MARK in (message.headers() or ())
    except UnicodeDecodeError:  # a header's name that is no text is not ours
        return False
