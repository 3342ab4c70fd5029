"""How a system does just now, from two readings of its metrics: answers a second, latency, requests that wait."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from dataclasses import dataclass, field

_BUCKETS = "standfast_request_seconds_bucket"
# The parser of prometheus_client takes 27 µs a line, and there is a line for each of maybe a thousand partitions.
_SAMPLE = re.compile(rf"^(standfast_requests_total|standfast_lag_records|{_BUCKETS})\{{(.*)\}} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """`p50_ms` and `p99_ms` are the bounds of the histogram's buckets, None without answers in between."""

    rate: float
    p50_ms: float | None
    p99_ms: float | None
    waiting: float
    errors: float = 0.0  # a second, answers other than ok

    @property
    def drains_in_s(self) -> float | None:
        """In how many seconds what waits is answered at the present rate; None if nothing is answered."""
        return 0.0 if not self.waiting else self.waiting / self.rate if self.rate else None


@dataclass(slots=True)
class MetricsReading:
    """The counters of all processes, at one time (monotonic)."""

    at: float
    answers: float = 0.0
    buckets: Counter[float] = field(default_factory=Counter)
    waiting: float = 0.0
    errors: float = 0.0

    def since(self, earlier: MetricsReading) -> LiveFigures:
        """The figures of the time between two readings."""
        buckets = {bound: self.buckets[bound] - earlier.buckets[bound] for bound in sorted(self.buckets)}
        seconds = max(1e-3, self.at - earlier.at)
        rate = max(0.0, self.answers - earlier.answers) / seconds
        errors = max(0.0, self.errors - earlier.errors) / seconds
        return LiveFigures(rate, _bound(buckets, 0.5), _bound(buckets, 0.99), self.waiting, errors)


def reading(text: str) -> MetricsReading:
    """What a scrape of the metrics says of all request topics together."""
    together = MetricsReading(time.monotonic())
    for one in by_topic(text).values():
        together.answers += one.answers
        together.waiting += one.waiting
        together.errors += one.errors
        together.buckets.update(one.buckets)
    return together


def by_topic(text: str) -> dict[str, MetricsReading]:
    """What a scrape of the metrics says of each request topic."""
    readings: dict[str, MetricsReading] = {}
    for name, said, value in _SAMPLE.findall(text):
        labels = dict(_LABEL.findall(said))
        topic = readings.setdefault(labels.get("topic", ""), MetricsReading(time.monotonic()))
        if name == "standfast_requests_total":
            topic.answers += float(value)
            topic.errors += float(value) if labels.get("status") != "ok" else 0
        elif name == "standfast_lag_records":
            topic.waiting += float(value)
        else:
            topic.buckets[float(labels["le"])] += int(float(value))
    return readings


def _bound(buckets: dict[float, int], quantile: float) -> float | None:
    """The upper bound, in ms, of the bucket with this quantile; buckets are cumulative."""
    total = max(buckets.values(), default=0)
    if total <= 0:
        return None
    bound = next(bound for bound, count in buckets.items() if count >= quantile * total)
    return math.inf if bound == math.inf else bound * 1000
