"""What a worker sees of champion and challenger, side by side: for the metrics, and for the supervisor, who judges.

Times are compared at equal batch sizes, since a query in a batch of one takes several times as long as one of thirty.
A call of the challenger counts as slower if it takes more than `max_slowdown` times the champion's median at that size;
so single hiccups of the machine, on either side, decide nothing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from consumers.channel.canary_figures import CanaryFigures
from models.base import Query
from schemas.records import Item
from standfast.core import telemetry

_KEPT = 31  # the champion's last times, for each batch size
_KNOWN = 5  # so many of them say what is usual
_NOTHING_S = 0.001  # nobody notices that a call takes a millisecond longer
_AT = 10


class SideBySide:
    """The figures of one worker.

    Args:
        champion: its label, `search@2`.
        max_slowdown: 0: no call counts as slower.
    """

    def __init__(self, service: str, champion: str, challenger: str, max_slowdown: float) -> None:
        self._max_slowdown = max_slowdown
        self._times: dict[int, deque[float]] = {}
        self.since = 0
        self.figures = CanaryFigures()
        ours, theirs = (service, _version(champion)), (service, _version(challenger))
        self._champion_calls = telemetry.MODEL_CALL.labels(*ours)
        self._challenger_calls = telemetry.MODEL_CALL.labels(*theirs)
        self._overlap = telemetry.SHADOW_OVERLAP.labels(*theirs)
        outcomes = ("computed", "failed", "shed")
        self._requests = {outcome: telemetry.CHALLENGER_REQUESTS.labels(*theirs, outcome) for outcome in outcomes}

    def begin(self, since: int) -> None:
        """Counts from 0 if this is another canary than before."""
        if since != self.since:
            self.since, self.figures = since, CanaryFigures()

    def champion_took(self, size: int, seconds: float) -> None:
        """A call of the champion for so many queries has taken so long."""
        self._champion_calls.observe(seconds)
        self._times.setdefault(size, deque(maxlen=_KEPT)).append(seconds)

    def challenger_took(self, size: int, seconds: float) -> None:
        """A call of the challenger for so many queries has taken so long; it is compared with the champion's usual."""
        self._challenger_calls.observe(seconds)
        times = self._times.get(size, ())
        if not self._max_slowdown or len(times) < _KNOWN:
            return
        usual = median(times)
        self.figures.timed += 1
        if seconds > max(usual * self._max_slowdown, usual + _NOTHING_S):
            self.figures.slower += 1
            self.figures.lost_s += seconds - usual

    def computed(self, requests: int) -> None:
        """The challenger has computed so many requests."""
        self.figures.computed += requests
        self._requests["computed"].inc(requests)

    def failed(self, requests: int) -> None:
        """It has failed on so many that the champion could compute."""
        self.figures.failed += requests
        self._requests["failed"].inc(requests)

    def shed(self) -> None:
        """A request was not computed in the shadow, for want of time."""
        self._requests["shed"].inc()

    def compared(self, champion: Sequence[Item], challenger: Sequence[Item]) -> None:
        """Both have answered one request."""
        shared = overlap(champion, challenger)
        self.figures.compared += 1
        self.figures.overlap += shared
        self._overlap.observe(shared)


class TimedModel:
    """Passes everything on to the model, and tells how long each call has taken, and for how many queries."""

    def __init__(self, model: Any, took: Callable[[int, float], object]) -> None:
        self._model = model
        self._took = took

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, queries: Sequence[Query]) -> list[list[Item]]:
        """As the model's own."""
        began = time.perf_counter()
        answers: list[list[Item]] = self._model.predict(queries)
        self._took(len(queries), time.perf_counter() - began)
        return answers


def overlap(one: Sequence[Item], other: Sequence[Item]) -> float:
    """The share of products that two answers have in common among their first ten; 1 for two empty answers."""
    first, second = ({item.item_id for item in items[:_AT]} for items in (one, other))
    longest = max(len(first), len(second))
    return len(first & second) / longest if longest else 1.0


def _version(label: str) -> str:
    return label.rpartition("@")[2]
