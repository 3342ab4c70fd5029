"""What a history says of one strike. Pure: the same history gives the same figures."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from bench.failover.strikes.scene import Partitions, Struck
from drills.checker import latency
from drills.history import History
from schemas.records import Latency


@dataclass(frozen=True, slots=True)
class _Answer:
    at: float
    partition: int
    written_ms: int


class Judge:
    """Judges the strikes of one run."""

    def __init__(self, history: History) -> None:
        self._requests = [one for one in history.requests if one.sent == "acked"]
        self._answers = sorted(
            (_Answer(seen.at, one.partition, seen.written_ms) for one in history.requests for seen in one.answers),
            key=lambda answer: answer.at,
        )
        self._usual_ms = latency(self._requests).p50_ms or 0.0

    def answered_ms(self, struck: Struck) -> float:
        """Until somebody else's first answer from the partitions of each victim; of several victims the last counts.

        Requests that were under way count as well as later ones. What the victim had committed itself does not: it was
        written before the strike, whenever it was seen.
        """
        return max(((self._first(struck, one) - struck.since) * 1000 for one in struck.victims), default=math.inf)

    def _first(self, struck: Struck, partitions: Partitions) -> float:
        begin = bisect_right(self._answers, struck.at, key=lambda answer: answer.at)
        theirs = (
            one.at
            for one in islice(self._answers, begin, None)
            if one.partition in partitions and one.written_ms > struck.written_after_ms
        )
        return next(theirs, math.inf)

    def pause_ms(self, struck: Struck, until: float) -> float:
        """How much longer than usual the slowest request waited: of those under way, and of those that came `until`."""
        waits = [
            math.inf if one.answered_at is None else (one.answered_at - one.due) * 1000
            for one in self._requests
            if one.due < until and (one.answered_at is None or one.answered_at > struck.at)
        ]
        return max(0.0, max(waits, default=0.0) - self._usual_ms)

    def usual(self, struck: Sequence[tuple[Struck, float]]) -> Latency:
        """The latency of requests that came and were answered while nothing was amiss."""
        amiss = [(one.at, until) for one, until in struck]
        return latency(
            one
            for one in self._requests
            if one.answered_at is not None and not any(at < one.answered_at and one.due < until for at, until in amiss)
        )
