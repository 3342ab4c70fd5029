"""The type of a record that a consumer returned.

confluent-kafka's stubs make topic, partition and offset of a Message optional, since a Message can be built by hand.
One from `poll` or `consume` has all three (only an error about no topic lacks the topic). Code that polls casts once
per batch, which costs nothing per record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import Message

if TYPE_CHECKING:

    class Consumed(Message):
        """A Message with topic, partition and offset."""

        def topic(self) -> str:
            """The topic the record was read from."""

        def partition(self) -> int:
            """The record's partition."""

        def offset(self) -> int:
            """The record's offset; for an end-of-partition event, the next offset."""

else:
    Consumed = Message
