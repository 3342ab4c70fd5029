"""What must be true before a fault is injected: Kafka has its intent, and every command sent before was read."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

from drills.running.method import Ticks
from standfast.core.errors import DrillRejected

_WRITTEN_WITHIN_S = 5.0  # for Kafka to acknowledge the intent
_CLEAR_WITHIN_S = 10.0  # for the runner to read the control topic to its end before the fault
_CLEAR_FOR_S = 1.0  # so long after that the fault may be injected
Wait = Callable[[Callable[[], bool], float], Ticks]


class GoAhead:
    """Between the runner's thread, which writes events and reads commands, and the drill's, which waits for both."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._announced = self._written = 0  # events with an intent: emitted, acknowledged by Kafka
        self._waiting = 0  # branches of the method that wait for `clear`
        self._cleared_at = float("-inf")

    @property
    def is_wanted(self) -> bool:
        """Whether the drill waits for `clear`."""
        return self._waiting > 0

    def clear(self) -> None:
        """Every command sent so far was read, and none aborts the drill."""
        self._cleared_at = time.monotonic()

    def announce(self) -> None:
        """An event with an intent was emitted."""
        self._announced += 1

    def written(self) -> None:
        """Kafka has acknowledged one more event with an intent."""
        self._written += 1

    def until_written(self, wait: Wait) -> Ticks:
        """Waits 5 s at most until Kafka has acknowledged the intent; raises DrillRejected otherwise.

        This holds for a fault on Kafka too: until then Kafka must answer, or no abort could be read. While Kafka is
        down, the next runner reads the intent from its file.
        """
        announced = self._announced
        yield from wait(lambda: self._written >= announced, _WRITTEN_WITHIN_S)
        if self._written < announced:
            raise DrillRejected(
                f"nothing was injected: Kafka did not acknowledge within {_WRITTEN_WITHIN_S:g} s that the drill was "
                f"about to strike, on {self._topic}; look at the brokers first"
            )

    def until_cleared(self, wait: Wait) -> Generator[None, None, bool]:
        """Waits 10 s at most until the control topic was read to its end within the last second; returns whether so.

        This process may have been suspended for a minute since it last read commands, and the client may have given up
        and sent an abort meanwhile: that must be read before the fault is injected, not after.
        """
        self._waiting += 1
        yield from wait(self._is_cleared, _CLEAR_WITHIN_S)
        self._waiting -= 1
        return self._is_cleared()

    def _is_cleared(self) -> bool:
        return time.monotonic() - self._cleared_at < _CLEAR_FOR_S
