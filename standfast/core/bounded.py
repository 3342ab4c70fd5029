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
from queue import SimpleQueue
from statistics import median

from confluent_kafka import KafkaError, KafkaException

_CALLS = 15
_TIMES_USUAL = 8
_HUNG_AT_FIRST = 2  # as long as others take over from a dead broker


class Hung(KafkaException):
    """A call did not return in time. Whatever object it was made on is still in use, and of no use any more."""

    def __init__(self) -> None:
        super().__init__(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - confluent_kafka's own name for it


class CallTimeout:
    """How long a call may take before it is given up for hung: eight times what is usual, after three in a row doubled.

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
        return float(max(self._least_s, _TIMES_USUAL * usual) * 2 ** max(0, self._hung - _HUNG_AT_FIRST))

    def returned(self, after_s: float) -> None:
        """The call came back."""
        self._took.append(after_s)
        self._hung = 0

    def hung(self) -> None:
        """The call was given up."""
        self._hung += 1


class CallThread:
    """A thread for calls that may never return, one at a time: whoever waits for one can stop waiting.

    A call that does not return keeps the thread, and the next gets another. One for each call would cost a tenth of a
    millisecond more each time.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], object], Future[object]] | None] | None = None

    def call(self, call: Callable[[], object], within_s: float) -> None:
        """Raises what the call raises, or Hung after so many seconds."""
        if self._calls is None:
            self._calls = SimpleQueue()
            threading.Thread(target=_run, args=(self._calls,), name="bounded", daemon=True).start()
        done: Future[object] = Future()
        self._calls.put((call, done))
        try:
            done.result(within_s)
        except TimeoutError:
            self.end()
            raise Hung from None

    def end(self) -> None:
        """Lets the thread go, as soon as its call returns; the next call gets another."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


def _run(calls: SimpleQueue[tuple[Callable[[], object], Future[object]] | None]) -> None:
    while (asked := calls.get()) is not None:
        _make(*asked)
        del asked  # a producer that is given up must not live on in here


def _make(call: Callable[[], object], done: Future[object]) -> None:
    try:
        done.set_result(call())
    except BaseException as error:  # noqa: BLE001 - raised by whoever waits
        done.set_exception(error)
