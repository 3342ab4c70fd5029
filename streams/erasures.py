"""Follows tombstones that others write to `profiles`, so that a deleted profile is not written again from memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

from confluent_kafka import Consumer, TopicPartition

from consumers.requests.admission import headers_of
from schemas.times import record_ms
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.settings import Settings

# The header of tombstones that this process writes. Taken for somebody else's, one would erase later interactions.
MARK = ("standfast-erased", b"")

_RECORDS_AT_ONCE = 500
_CONSUME_TIMEOUT_S = 0.5

Erase = Callable[[int, bytes, int], None]


class Erasures:
    """Follows `profiles` from the offsets up to which it was read back.

    Args:
        erase: called with the partition, the user's key, and the time of the deletion in epoch milliseconds.
        reached: called with the next offsets, by partition; all records before them were looked at.
    """

    def __init__(self, settings: Settings, topic: str, erase: Erase, reached: Callable[[dict[int, int]], None]) -> None:
        self._consumer = Consumer(clients.follower(settings, "stream-erasures"))
        self._topic = topic
        self._erase = erase
        self._reached = reached
        self._restarts = 0

    def restart_from(self, ends: Mapping[int, int]) -> None:
        """Reads on from these offsets, by partition."""
        self._restarts += 1
        self._consumer.assign([TopicPartition(self._topic, partition, offset) for partition, offset in ends.items()])

    async def follow(self) -> None:
        """Reads records until it is cancelled; never ends."""
        while True:
            restarts = self._restarts
            consumed = await asyncio.to_thread(self._consumer.consume, _RECORDS_AT_ONCE, _CONSUME_TIMEOUT_S)
            messages = cast("list[Consumed]", consumed)
            for message in messages:
                self.take(message)
            if restarts == self._restarts:  # else these offsets may be of a topic that was deleted since
                self._reached(
                    {message.partition(): message.offset() + 1 for message in messages if not message.error()}
                )

    def take(self, message: Consumed) -> None:
        """Calls `erase` if the record is a tombstone that this process did not write."""
        key, partition = message.key(), message.partition()
        if message.error() or message.value() is not None or key is None or _is_ours(message):
            return
        self._erase(partition, key, record_ms(message.timestamp()[1]))


def _is_ours(message: Consumed) -> bool:
    return MARK in (headers_of(message) or ())
