"""What the drawings of a drill show of all its requests: who answered each partition when, and how many a second."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from drills.evidence.columns import RequestColumns

_USUAL_GAPS = 2.0  # times the longest time between two answers of a partition before the fault; more is a pause
_LEAST_PAUSE_S = 0.1
_MOST_BINS = 120
_WIDTHS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class Owned(Struct, frozen=True):
    """Answers of one request partition by one worker, without a pause between them; seconds of the drill's clock.

    A pause has no worker: from the last answer before it to the first one after it.
    """

    partition: int
    worker: str
    start: float
    end: float


class Rates(Struct, frozen=True):
    """Requests sent, answers seen and answers that were not ok, in stretches of `width` seconds from `start` on."""

    start: float
    width: float
    sent: list[int]
    answered: list[int]
    not_ok: list[int]


class Pictured(Struct, frozen=True):
    """Both, and of how many requests."""

    requests: int
    first_due: float
    last_due: float
    least_pause_ms: float
    owned: list[Owned]
    rates: Rates


def pictured(seen: RequestColumns, struck: float) -> Pictured:
    """What the drawings show of these requests, of which there has to be one at least; `struck`: the first fault."""
    gap = max(_LEAST_PAUSE_S, _USUAL_GAPS * _longest_gap(seen, struck))
    return Pictured(
        requests=len(seen.due),
        first_due=float(seen.due.min()),
        last_due=float(seen.due.max()),
        least_pause_ms=round(gap * 1000, 1),
        owned=[each for partition in np.unique(seen.partition) for each in _owned(seen, int(partition), gap)],
        rates=_rates(seen),
    )


def _answers_of(seen: RequestColumns, partition: int) -> NDArray[np.int64]:
    """The indexes of its answered requests, by answer."""
    indexes = np.flatnonzero((seen.partition == partition) & seen.is_answered)
    return np.asarray(indexes[np.argsort(seen.at[indexes], kind="stable")])


def _longest_gap(seen: RequestColumns, until: float) -> float:
    gaps = [0.0]
    for partition in np.unique(seen.partition):
        at = seen.at[_answers_of(seen, int(partition))]
        gaps.append(float(np.diff(at[at < until]).max(initial=0.0)))
    return max(gaps)


def _owned(seen: RequestColumns, partition: int, least_pause: float) -> list[Owned]:
    indexes = _answers_of(seen, partition)
    if not len(indexes):
        return []
    at, worker = seen.at[indexes], seen.worker[indexes]
    is_pause = np.diff(at) > least_pause
    ends = [*np.flatnonzero(is_pause | (np.diff(worker) != 0)).tolist(), len(at) - 1]
    found, first = list[Owned](), 0
    for end in ends:
        until = at[end + 1] if end + 1 < len(at) and not is_pause[end] else at[end]
        found.append(Owned(partition, seen.workers[worker[first]], float(at[first]), float(until)))
        if end + 1 < len(at) and is_pause[end]:
            found.append(Owned(partition, "", float(at[end]), float(at[end + 1])))
        first = end + 1
    return found


def _rates(seen: RequestColumns) -> Rates:
    answered = seen.is_answered
    start = float(seen.invoked.min())
    end = max(float(seen.invoked.max()), float(seen.at[answered].max()) if answered.any() else start)
    width = next((width for width in _WIDTHS if (end - start) / width <= _MOST_BINS), _WIDTHS[-1])
    edges = start + width * np.arange(math.floor((end - start) / width) + 2)

    def counted(times: NDArray[np.float64]) -> list[int]:
        return [int(count) for count in np.histogram(times, edges)[0]]

    return Rates(
        start, width, counted(seen.invoked), counted(seen.at[answered]), counted(seen.at[answered & ~seen.is_ok])
    )
