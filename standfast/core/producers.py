"""What is done with a producer of whose transaction nobody knows how it ended."""

from __future__ import annotations

import threading

from confluent_kafka import Producer


def let_go(producer: Producer) -> None:
    """Ends it beside whoever calls: its destructor waits for requests in flight, up to their time-out.

    Called when another producer has been built under the same transactional id, which fences what this one still sends.
    """
    threading.Thread(target=producer.purge, daemon=True).start()
