"""The records of each request in the request topic: each of them has to be answered once.

They are read from Kafka's log, not from the producer's delivery reports: a producer that retries a record may not know
that the first attempt was written.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

from confluent_kafka import Consumer, TopicPartition
from msgspec import structs

from drills.evidence.history import History, Request
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import ClusterError
from standfast.core.kafka_errors import is_partition_end
from standfast.core.settings import Settings

_WITHIN_S = 60.0  # to read the request topic from the drill's start to its end

Copies = Mapping[str, tuple[int, ...]]


def copies(settings: Settings, prefix: str, since: Sequence[TopicPartition]) -> Copies:
    """The offsets of each key that begins with `prefix`, from the offsets `since` to the present end; blocks meanwhile.

    Raises ClusterError if the end is not reached within a minute.
    """
    offsets: defaultdict[str, tuple[int, ...]] = defaultdict(tuple)
    # read_committed would stop at the first open transaction of another producer; the load writes without transactions.
    config = {**clients.answers(settings, f"standfast-drill-{prefix}"), "isolation.level": "read_uncommitted"}
    consumer = Consumer({**config, "enable.partition.eof": True})
    try:
        consumer.assign(list(since))
        unread, deadline, prefix_bytes = (
            {start.partition for start in since},
            time.monotonic() + _WITHIN_S,
            prefix.encode(),
        )
        while unread:
            if time.monotonic() > deadline:
                raise ClusterError(f"Kafka has not shown the end of {since[0].topic} within {_WITHIN_S:.0f} s")
            for message in cast("list[Consumed]", consumer.consume(1000, 0.1)):
                error, key = message.error(), message.key() or b""
                if error is None and key.startswith(prefix_bytes):
                    offsets[key.decode()] += (message.offset(),)
                elif is_partition_end(error):
                    unread.discard(message.partition())
    finally:
        consumer.close()
    return offsets


def with_copies(history: History, known: Copies) -> History:
    """The history, each request that was not written just once, as acknowledged, with its offsets in the topic."""
    requests = tuple(_with_copies(request, known.get(request.request_id, ())) for request in history.requests)
    return structs.replace(history, requests=requests)


def _with_copies(request: Request, offsets: tuple[int, ...]) -> Request:
    return request if offsets == (request.offset,) else structs.replace(request, copies=offsets)
