"""Waiting until a load has settled: before that, a cold start's backlog is measured and not what the system does."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Protocol

import msgspec

_LOOKS_A_SPAN = 40
_STEADY = 1.25
_NOISE_S = 0.02
_BACKLOG_S = 1.0


class WarmUp(msgspec.Struct, frozen=True):
    """How long it took, and whether the usual latency of every load had settled by then."""

    seconds: float
    settled: bool


class Sending(Protocol):
    """A load at a steady rate (`drills.evidence.load.Load`)."""

    def unanswered(self) -> int: ...


def warm_up(loads: Mapping[Sending, float], span_s: float, within_s: float) -> WarmUp:
    """Returns when the mean latency of each load, sent at its rate, is what it was a span before; blocks.

    That takes two spans at least, and `within_s` at most, after which it may not have settled.
    """
    began = time.monotonic()
    waits: dict[Sending, deque[float]] = {load: deque(maxlen=2 * _LOOKS_A_SPAN) for load in loads}
    while time.monotonic() < began + within_s:
        time.sleep(span_s / _LOOKS_A_SPAN)
        for load, rate in loads.items():
            # By Little's law: what is under way, by the rate at which it comes, is how long it is under way.
            waits[load].append(load.unanswered() / rate)
        if all(map(has_settled, waits.values())):
            return WarmUp(round(time.monotonic() - began, 1), settled=True)
    return WarmUp(round(time.monotonic() - began, 1), settled=False)


def has_settled(waits: Sequence[float]) -> bool:
    """Whether these mean latencies (s) differ in both halves by no more than a quarter, or 20 ms.

    From a second on it is a backlog, which at its height is steady too.
    """
    if len(waits) < 2 * _LOOKS_A_SPAN:
        return False
    seen = list(waits)
    low, high = sorted((fmean(seen[:_LOOKS_A_SPAN]), fmean(seen[_LOOKS_A_SPAN:])))
    return high < _BACKLOG_S and (high <= low * _STEADY or high - low <= _NOISE_S)
