"""How a system does just now, from two readings of its metrics: answers a second, latency, requests that wait."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass

_BUCKETS = "standfast_request_seconds_bucket"


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """`p50_ms` and `p99_ms` are the bounds of the histogram's buckets, None without answers in between."""

    rate: float
    p50_ms: float | None
    p99_ms: float | None
    waiting: float


@dataclass(frozen=True, slots=True)
class MetricsReading:
    """The counters of all processes, at one time (monotonic)."""

    at: float
    answers: float
    buckets: Counter[float]
    waiting: float

    def since(self, earlier: MetricsReading) -> LiveFigures:
        """The figures of the time between two readings."""
        buckets = {bound: self.buckets[bound] - earlier.buckets[bound] for bound in sorted(self.buckets)}
        seconds = max(1e-3, self.at - earlier.at)
        rate = max(0.0, self.answers - earlier.answers) / seconds
        return LiveFigures(rate, _bound(buckets, 0.5), _bound(buckets, 0.99), self.waiting)


def reading(text: str) -> MetricsReading:
    """What a scrape of the metrics says."""
    from prometheus_client.parser import text_string_to_metric_families

    answers, waiting, buckets = 0.0, 0.0, Counter[float]()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "standfast_requests_total":
                answers += sample.value
            elif sample.name == "standfast_lag_records":
                waiting += sample.value
            elif sample.name == _BUCKETS:
                buckets[float(sample.labels["le"])] += int(sample.value)
    return MetricsReading(time.monotonic(), answers, buckets, waiting)


def _bound(buckets: dict[float, int], quantile: float) -> float | None:
    """The upper bound, in ms, of the bucket with this quantile; buckets are cumulative."""
    total = max(buckets.values(), default=0)
    if total <= 0:
        return None
    bound = next(bound for bound, count in buckets.items() if count >= quantile * total)
    return math.inf if bound == math.inf else bound * 1000
