"""Figures that the benchmarks report, and the machine they were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import msgspec


class LatencyFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One service with `in_flight` requests in flight. Milliseconds; answers per second over all its workers."""

    service: str
    workers: int
    in_flight: int
    requests: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    per_second: float
    not_ok: int
    doubled: int


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine of a measurement; `load` is its one-minute load average, which shows whether others used it."""

    cores: int
    processor: str
    python: str
    load: float


def machine() -> Machine:
    """This machine with its present load."""
    return Machine(
        cores=os.cpu_count() or 0,
        processor=_processor(),
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 1),
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; `values` need not be sorted."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:  # noqa: PTH123
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
