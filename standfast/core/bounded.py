"""Time limits for library calls that may never return.

librdkafka's `send_offsets_to_transaction` ignores its time-out and waits for ever when the group's coordinator has left
the cluster (its issues 5456 and 5511, open in 2.16): after a broker was killed, workers hung until they were ended.
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
_HUNG_AT_FIRST = 2  # time-outs before the limit is doubled: so many are usual while a dead broker's leaders move


class Hung(KafkaException):
    """A call did not return in time. It still runs and uses its object, which must be given up."""

    def __init__(self) -> None:
        super().__init__(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - confluent_kafka's own name for it


class CallTimeout:
    """How long a call may take before it counts as hung: eight times the median of the last 15 calls.

    From the third time-out in a row on, the limit is doubled each time. A mean would grow with the very outage that the
    limit is there to end: after one broker's death, workers waited 4 s at the next one.
    """

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._durations: deque[float] = deque(maxlen=_CALLS)
        self._hung = 0

    @property
    def seconds(self) -> float:
        """The limit for the next call."""
        usual: float = median(self._durations) if self._durations else 0.0
        return float(max(self._least_s, _TIMES_USUAL * usual) * 2 ** max(0, self._hung - _HUNG_AT_FIRST))

    def returned(self, after_s: float) -> None:
        """Notes that the call returned after this time."""
        self._durations.append(after_s)
        self._hung = 0

    def hung(self) -> None:
        """Notes that the call was given up."""
        self._hung += 1


class CallThread:
    """A thread that makes calls, one at a time, so that the caller can stop waiting for one that never returns.

    A call that does not return keeps its thread, and the next call gets a new one. A new thread for every call would
    cost 0.1 ms each.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], object], Future[object]] | None] | None = None

    def call(self, call: Callable[[], object], within_s: float) -> None:
        """Makes the call and waits for it; raises what it raises, or Hung after `within_s` seconds."""
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
        """Ends the thread once its current call returns; the next call gets a new one."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


def _run(calls: SimpleQueue[tuple[Callable[[], object], Future[object]] | None]) -> None:
    while (call_and_result := calls.get()) is not None:
        _make(*call_and_result)
        del call_and_result  # else this frame would keep a given-up producer alive until the next call


def _make(call: Callable[[], object], done: Future[object]) -> None:
    try:
        done.set_result(call())
    except BaseException as error:  # noqa: BLE001 - `CallThread.call` raises it
        done.set_exception(error)
