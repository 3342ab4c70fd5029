"""How a consumer that has subscribed ends.

It is never closed while an assignment may come. librdkafka 2.16 then waits for ever in the rebalance callback, and
confluent-kafka holds Python's lock all the while: no thread of the process runs any more, and no time limit ends it.
Two stops in five in the second second of a worker's service took their full 10 s.
"""

from __future__ import annotations

import time

from confluent_kafka import Consumer

_POLL_S = 0.005


def leave(consumer: Consumer, within_s: float) -> bool:
    """Gives up the place in the group, so that others get the partitions at once; False if that is not sure.

    A static member's place outlives its consumer: without this its partitions would stand still until the session
    times out. librdkafka leaves when it is unsubscribed first, and forgets the member's id when it does.
    """
    consumer.unsubscribe()
    deadline = time.monotonic() + within_s
    while consumer.memberid():
        if time.monotonic() > deadline:
            return False
        consumer.poll(_POLL_S)
    return True
