"""Ends or disposes of a producer's transaction that cannot be committed."""

from __future__ import annotations

import threading

from confluent_kafka import Producer

# The longest wait for an abort. With the 5 s after which a record fails it stays below transaction.timeout.ms: a longer
# wait lasted until a Kafka that had stood still came back, which had ended the transaction itself and fenced its
# producer, so that its process ended. A producer that is dropped before is fenced by its own successor only.
ABORT_S = 3.0


def let_go(producer: Producer) -> None:
    """Purges the producer in a thread: its destructor waits for requests in flight, up to their time-out.

    Call it once another producer with the same transactional id exists, which fences what this one still sends.
    """
    threading.Thread(target=producer.purge, daemon=True).start()
