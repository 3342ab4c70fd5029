"""What a hypothesis may ask of a history: one figure each, over one stretch of it. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from drills.evidence.checker import Measured, measure, split
from drills.evidence.history import History, Request
from drills.evidence.latency import rank

Stretch = Literal["before", "during", "after", "whole"]


@dataclass(frozen=True, slots=True)
class Reading:
    """A figure, None where there is none, and how many requests it rests on."""

    value: float | None
    samples: int


class HistoryView:
    """A history, its figures, and its requests by stretch."""

    def __init__(self, history: History, measured: Measured | None = None) -> None:
        self.history = history
        self._measured = measured

    @cached_property
    def measured(self) -> Measured:
        """The figures of all of it."""
        return self._measured or measure(self.history)

    @cached_property
    def struck(self) -> float:
        """When the first fault struck; infinite while none has."""
        return min((fault.at for fault in self.history.faults), default=math.inf)

    def requests(self, stretch: Stretch, from_s: float | None = None) -> Sequence[Request]:
        """Those that Kafka has accepted in that stretch; `from_s`: that were due so long after the fault or later."""
        requests = self._stretches[stretch]
        if from_s is None:
            return requests
        return [request for request in requests if request.due >= self.struck + from_s]

    @cached_property
    def _stretches(self) -> dict[Stretch, Sequence[Request]]:
        acked = [request for request in self.history.requests if request.sent == "acked"]
        before, during, after = split(acked, self.struck, self.measured.over_at)
        return {"before": before, "during": during, "after": after, "whole": acked}


@dataclass(frozen=True, slots=True)
class Probe:
    """One figure.

    Args:
        name: what a hypothesis calls it.
        about: what it is, with its unit.
        read: the figure of some requests.
        samples: how many requests it needs where the hypothesis does not say.
        whole: it says something of a whole history alone; `in` and `from_s` make no sense.
    """

    name: str
    about: str
    read: Callable[[HistoryView, Sequence[Request]], Reading]
    samples: int = 1
    whole: bool = False


def _count(name: str) -> Callable[[HistoryView, Sequence[Request]], Reading]:
    def read(seen: HistoryView, _requests: Sequence[Request]) -> Reading:
        return Reading(float(getattr(seen.measured, name)), seen.measured.answered)

    return read


def _recovery(name: str) -> Callable[[HistoryView, Sequence[Request]], Reading]:
    def read(seen: HistoryView, _requests: Sequence[Request]) -> Reading:
        value: float | None = getattr(seen.measured, name)
        return Reading(value, seen.measured.answered if value is not None else 0)

    return read


def _percentile(share: float) -> Callable[[HistoryView, Sequence[Request]], Reading]:
    def read(_seen: HistoryView, requests: Sequence[Request]) -> Reading:
        times = sorted(ms for request in requests if (ms := request.latency_ms) is not None)
        return Reading(rank(times, share) if times else None, len(times))

    return read


def _answered(_seen: HistoryView, requests: Sequence[Request]) -> Reading:
    answered = sum(1 for request in requests if request.answers)
    return Reading(answered / len(requests) if requests else None, len(requests))


def _errors(_seen: HistoryView, requests: Sequence[Request]) -> Reading:
    statuses = [request.answers[0].status for request in requests if request.answers]
    wrong = sum(1 for status in statuses if status != "ok")
    return Reading(wrong / len(statuses) if statuses else None, len(statuses))


def _throughput(_seen: HistoryView, requests: Sequence[Request]) -> Reading:
    times = [at for request in requests if (at := request.answered_at) is not None]
    if len(times) < 2 or max(times) == min(times):
        return Reading(None, len(times))
    return Reading((len(times) - 1) / (max(times) - min(times)), len(times))


_COUNTS = {
    "lost": "accepted requests without an answer",
    "duplicated": "answers seen more than once",
    "unexpected": "answers to requests that were never sent",
    "out_of_order": "answers out of the order of their requests",
    "wrong": "answers that cannot be to their requests",
}
PROBES: dict[str, Probe] = {
    probe.name: probe
    for probe in (
        *(Probe(name, about, _count(name), whole=True) for name, about in _COUNTS.items()),
        Probe("rto_ms", "ms until every partition that was hit answered again", _recovery("rto_ms"), whole=True),
        Probe("first_ms", "ms until the first of these partitions answered again", _recovery("first_ms"), whole=True),
        Probe("p50_ms", "median latency, ms", _percentile(0.5), samples=20),
        Probe("p90_ms", "90th percentile of the latency, ms", _percentile(0.9), samples=50),
        Probe("p99_ms", "99th percentile of the latency, ms", _percentile(0.99), samples=100),
        Probe("max_ms", "the longest latency, ms", _percentile(1.0)),
        Probe("answered_share", "answered requests, of the accepted ones (0 to 1)", _answered, samples=20),
        Probe("error_share", "answers that are not ok, of all (0 to 1)", _errors, samples=20),
        Probe("throughput", "answers a second", _throughput, samples=20),
    )
}
