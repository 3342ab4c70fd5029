"""What a running drill sees of its own load: for its stop conditions, and for the steps that wait for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable

from drills.evidence.history import History
from drills.evidence.hypothesis import Expectation
from drills.evidence.probes import HistoryView

_LOOK_EVERY_S = 0.25  # measuring 10,000 requests takes some 30 ms of the processor that the load needs


class Watch:
    """Measures the history so far, at most four times a second."""

    def __init__(self, so_far: Callable[[], History], stop_when: tuple[Expectation, ...]) -> None:
        self._so_far = so_far
        self._stop_when = stop_when
        self._looked_at = self._alarm_at = float("-inf")
        self._seen = HistoryView(History())

    def seen(self) -> HistoryView:
        """The history as it was at most a quarter of a second ago."""
        if time.monotonic() - self._looked_at >= _LOOK_EVERY_S:
            self._seen = HistoryView(self._so_far())
            self._looked_at = time.monotonic()
        return self._seen

    def alarm(self) -> str:
        """The stop condition that holds, in words; "" if none does."""
        if not self._stop_when or time.monotonic() - self._alarm_at < _LOOK_EVERY_S:
            return ""
        self._alarm_at = time.monotonic()
        for condition in self._stop_when:
            finding = condition.finding(self.seen())
            if finding.check == "passed":
                return f"stopped by its own condition: {finding.text}"
        return ""
