"""How a subscribed consumer leaves its group.

It must not be closed while an assignment may still come: librdkafka 2.16 then waits for ever in the rebalance callback,
and confluent-kafka holds the GIL meanwhile, so that no thread of the process runs and no time limit works. Of the stops
in the second second after a worker began to serve, two in five took their full 10 s.
"""

from __future__ import annotations

import time

from confluent_kafka import Consumer

_POLL_S = 0.005


def leave(consumer: Consumer, within_s: float) -> bool:
    """Leaves the group, so that other members get the partitions at once; False if not confirmed within `within_s`.

    A static member stays in the group after its consumer is closed: without this call its partitions would not be
    consumed until the session times out. librdkafka sends LeaveGroup on unsubscribe, and then clears the member id.
    """
    consumer.unsubscribe()
    deadline = time.monotonic() + within_s
    while consumer.memberid():
        if time.monotonic() > deadline:
            return False
        consumer.poll(_POLL_S)
    return True
