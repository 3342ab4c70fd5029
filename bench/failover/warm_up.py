"""Waiting until a load has settled, so that the backlog of a cold start is not measured."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Protocol

import msgspec

_SAMPLES_PER_SPAN = 40  # of the number of unanswered requests
_STEADY = 1.25  # highest ratio of the mean latencies of two spans
_NOISE_S = 0.02  # or their highest difference
_BACKLOG_S = 1.0  # a mean latency from here on is a backlog


class WarmUp(msgspec.Struct, frozen=True):
    """How long the warm-up took, and whether the mean latency of every load had settled by then."""

    seconds: float
    settled: bool


class Sending(Protocol):
    """A load at a steady rate (`drills.evidence.load.Load`)."""

    def unanswered(self) -> int: ...


def warm_up(loads: Mapping[Sending, float], span_s: float, within_s: float) -> WarmUp:
    """Waits until the mean latency of each load is the same over two successive spans; `loads` gives their rates.

    This takes at least two spans and at most `within_s`, by when latency may not have settled.
    """
    began = time.monotonic()
    latencies: dict[Sending, deque[float]] = {load: deque(maxlen=2 * _SAMPLES_PER_SPAN) for load in loads}
    while time.monotonic() < began + within_s:
        time.sleep(span_s / _SAMPLES_PER_SPAN)
        for load, rate in loads.items():
            # Little's law: requests in flight divided by their rate is their mean latency.
            latencies[load].append(load.unanswered() / rate)
        if all(map(has_settled, latencies.values())):
            return WarmUp(round(time.monotonic() - began, 1), settled=True)
    return WarmUp(round(time.monotonic() - began, 1), settled=False)


def has_settled(latencies: Sequence[float]) -> bool:
    """Whether the means of both halves of these latencies (s) differ by at most a quarter, or 20 ms.

    A mean of a second or more is a backlog and never settled: at its peak a backlog is steady too.
    """
    if len(latencies) < 2 * _SAMPLES_PER_SPAN:
        return False
    samples = list(latencies)
    low, high = sorted((fmean(samples[:_SAMPLES_PER_SPAN]), fmean(samples[_SAMPLES_PER_SPAN:])))
    return high < _BACKLOG_S and (high <= low * _STEADY or high - low <= _NOISE_S)
