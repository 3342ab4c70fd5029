"""Requests that the champion has answered and that the challenger computes too, after the answers are on their way.

Nothing is computed while there is anything else to do: one request at a time, and only after a look at Kafka brought
none. So a request that comes waits for one call of the challenger at most, and under load the shadow computes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from consumers.serving.breaker import Ask
from consumers.serving.side_by_side import SideBySide
from models.base import Query
from schemas.records import Item

_MOST = 64  # requests that wait to be compared: a second of what an idle worker can compute


class Shadow:
    """The comparisons of one worker; `challenger` gives its outcomes (`consumers.serving.challenger`)."""

    def __init__(self, challenger: Ask, seen: SideBySide) -> None:
        self._challenger = challenger
        self._seen = seen
        self._waiting: deque[tuple[Query, Sequence[Item]]] = deque()

    def take(self, query: Query, answer: Sequence[Item]) -> None:
        """Remembers a request and its answer; sheds it if too many wait."""
        if len(self._waiting) < _MOST:
            self._waiting.append((query, answer))
        else:
            self._seen.shed()

    def clear(self) -> None:
        """Forgets what waits."""
        self._waiting.clear()

    def step(self, *, idle: bool) -> bool:
        """Computes and compares one request if the worker is idle; returns whether more wait."""
        if idle and self._waiting:
            query, answer = self._waiting.popleft()
            (outcome,) = self._challenger([query])
            if isinstance(outcome, list):
                self._seen.compared(answer, outcome)
            elif outcome.status == "invalid":
                self._seen.failed(1)
        return bool(self._waiting)
