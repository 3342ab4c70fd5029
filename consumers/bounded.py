"""Calls into a client library that may never return.

librdkafka's `send_offsets_to_transaction` ignores its time-out and waits for ever when the group's coordinator has left
the cluster (its issues 5456 and 5511, open in 2.16): a broker that was killed left workers standing until they were
ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

T = TypeVar("T")


class Hung(KafkaException):  # type: ignore[misc]  # confluent_kafka has no types
    """A call did not return in time. Whatever object it was made on is still in use, and of no use any more."""

    def __init__(self) -> None:
        super().__init__(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - confluent_kafka's own name for it


def bounded(call: Callable[[], T], within_s: float) -> T:
    """What the call returns or raises; raises Hung after so many seconds, and leaves it behind in a thread."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits
            done.set_exception(error)

    threading.Thread(target=run, name="bounded", daemon=True).start()
    try:
        return done.result(within_s)
    except TimeoutError:
        raise Hung from None
