"""Which of the waiting records make the next batch.

A batch never waits for a record that may not come, and never grows past what a request can afford to wait behind: a
number of records, and a number of bytes that stands for tokens (about four bytes each), so that three long texts do
not hold up thirty short ones. Records that will only be refused cost no model time and so count for nothing. Always a
run from the front, where each partition's records are in order, because offsets are committed in order.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from consumers.requests.admission import Origin

Reason = Literal["full", "budget", "drained"]
# Refusing one takes some 50 µs; more in one go would keep those waiting that can still be answered.
_MOST_REFUSED = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one batch: records to compute, and the bytes of their values."""

    records: int
    budget: int


@dataclass(frozen=True, slots=True)
class Picked:
    """Records in the order they came; the first `shed` of them are to be refused, to make room for newer ones.

    `refused`: how many will be refused in all, those because it is too late for them.
    """

    records: list[Origin]
    shed: int
    reason: Reason
    refused: int = 0

    @property
    def computed(self) -> int:
        """How many the model is asked."""
        return len(self.records) - self.refused


def pick(waiting: deque[Origin], limits: Limits, late: Callable[[Origin], bool], keep: int | None = None) -> Picked:
    """Takes the next batch out of `waiting`; `late` tells which will be refused anyway.

    Args:
        keep: with more waiting than this, the oldest are shed: newest first. None: nobody is.
    """
    shed = 0 if keep is None else min(max(0, len(waiting) - keep), _MOST_REFUSED)
    if shed:
        _oldest_first(waiting)
    taken = [waiting.popleft() for _ in range(shed)]
    count = bytes_ = refused = 0
    reason: Reason = "drained"
    while waiting:
        first = waiting[0]
        if late(first):
            if refused == _MOST_REFUSED:
                reason = "full"
                break
            refused += 1
        elif count == limits.records:
            reason = "full"
            break
        elif count and bytes_ + len(first.value or b"") > limits.budget:
            reason = "budget"
            break
        else:
            count += 1
            bytes_ += len(first.value or b"")
        taken.append(waiting.popleft())
    return Picked(taken, shed, reason, shed + refused)


def _oldest_first(waiting: deque[Origin]) -> None:
    """Sorts by age over all partitions, which Kafka hands over one after the other; each keeps its order."""
    latest: dict[int, int] = {}
    aged: list[tuple[int, int, Origin]] = []
    for one in waiting:
        latest[one.partition] = max(one.timestamp_ms, latest.get(one.partition, 0))
        aged.append((latest[one.partition], len(aged), one))
    waiting.clear()
    waiting.extend(one for *_, one in sorted(aged, key=operator.itemgetter(0, 1)))
