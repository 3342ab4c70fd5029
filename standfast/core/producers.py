"""Disposes of a producer whose transaction is in doubt."""

from __future__ import annotations

import threading

from confluent_kafka import Producer


def let_go(producer: Producer) -> None:
    """Purges the producer in a thread: its destructor waits for requests in flight, up to their time-out.

    Call it once another producer with the same transactional id exists, which fences what this one still sends.
    """
    threading.Thread(target=producer.purge, daemon=True).start()
