"""A record as a consumer gives it out, to the type checker.

confluent-kafka's stubs let a Message lack topic, partition and offset, since anybody may make one by hand. One that
comes from `poll` or `consume` has all three (an error about no topic lacks the topic). Whoever polls casts once a
batch, and nothing is checked or called again for each record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import Message

if TYPE_CHECKING:

    class Consumed(Message):
        """A Message whose place is known."""

        def topic(self) -> str:
            """The topic it was read from."""

        def partition(self) -> int:
            """Its partition there."""

        def offset(self) -> int:
            """Its offset; of an end of partition, the next one."""

else:
    Consumed = Message
