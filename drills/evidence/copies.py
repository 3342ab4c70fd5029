"""How often each request of a load stands in the request topic: an answer to each is right, one more is not.

Kafka's own log is the evidence, and not what the load's producer said: one that sends a record again may not know that
the first has been written.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from confluent_kafka import Consumer, KafkaError, TopicPartition

from drills.evidence.history import History
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import ClusterError
from standfast.core.settings import Settings

_WITHIN_S = 60.0

Copies = Mapping[str, tuple[int, ...]]


def copies(settings: Settings, prefix: str, since: Sequence[TopicPartition]) -> Copies:
    """The offsets of each key that begins with `prefix`, from these places to the end; blocks until it is read.

    Raises ClusterError if Kafka does not show the end within a minute.
    """
    offsets: defaultdict[str, tuple[int, ...]] = defaultdict(tuple)
    # What others have in an open transaction must not keep us from the end: ours are in none.
    config = {**clients.answers(settings, f"standfast-drill-{prefix}"), "isolation.level": "read_uncommitted"}
    consumer = Consumer({**config, "enable.partition.eof": True})
    try:
        consumer.assign(list(since))
        left, until, needle = {one.partition for one in since}, time.monotonic() + _WITHIN_S, prefix.encode()
        while left:
            if time.monotonic() > until:
                raise ClusterError(f"Kafka has not shown the end of {since[0].topic} within {_WITHIN_S:.0f} s")
            for message in cast("list[Consumed]", consumer.consume(1000, 0.1)):
                error, key = message.error(), message.key() or b""
                if error is None and key.startswith(needle):
                    offsets[key.decode()] += (message.offset(),)
                elif error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    left.discard(message.partition())
    finally:
        consumer.close()
    return offsets


def with_copies(history: History, known: Copies) -> History:
    """The history, each request with its places in the request topic."""
    requests = tuple(replace(request, copies=known.get(request.request_id, ())) for request in history.requests)
    return replace(history, requests=requests)
