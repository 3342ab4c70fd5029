"""Calls into a client library that may never return.

librdkafka's `send_offsets_to_transaction` ignores its time-out and waits for ever when the group's coordinator has left
the cluster (its issues 5456 and 5511, open in 2.16): a broker that was killed left workers standing until they were
ended.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from statistics import median
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

T = TypeVar("T")
_CALLS = 15
_TIMES_USUAL = 8


class Hung(KafkaException):  # type: ignore[misc]  # confluent_kafka has no types
    """A call did not return in time. Whatever object it was made on is still in use, and of no use any more."""

    def __init__(self) -> None:
        super().__init__(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - confluent_kafka's own name for it


class Patience:
    """How long a call may take before it is given up for hung: eight times what is usual, doubled each time in a row.

    Usual is the median of the last calls. An average would learn from the very outage that it is there to end: after
    one broker's death workers waited 4 s for the next.
    """

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._took: deque[float] = deque(maxlen=_CALLS)
        self._hung = 0

    @property
    def seconds(self) -> float:
        """For the next call."""
        usual: float = median(self._took) if self._took else 0.0
        return float(max(self._least_s, _TIMES_USUAL * usual) * 2**self._hung)

    def returned(self, after_s: float) -> None:
        """The call came back."""
        self._took.append(after_s)
        self._hung = 0

    def hung(self) -> None:
        """The call was given up."""
        self._hung += 1


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
