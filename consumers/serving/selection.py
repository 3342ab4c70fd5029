"""Which of the waiting records make the next batch.

A batch never waits for more records to come. It is limited in records, and in bytes of their values, which stand for
tokens (about four bytes each): three long texts are not to hold up thirty short ones. Records that will be refused cost
no model time and do not count. A batch is always taken from the front, where the records of each partition are in
order, because offsets are committed in order.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from consumers.requests.admission import Origin

Reason = Literal["full", "budget", "drained"]
# Refusing a record takes some 50 µs: more of them in one batch would delay requests that can still be answered.
_MOST_REFUSED = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """The most records that one batch computes, and the most bytes of their values (`budget`)."""

    records: int
    budget: int


@dataclass(frozen=True, slots=True)
class Picked:
    """A batch's records in their order; the first `shed` of them are to be refused, to make room for newer ones.

    `reason`: why there are no more: the limit of records (`full`) or bytes (`budget`), or no more wait (`drained`).
    `refused`: how many will be refused in all: the shed ones, and those that are too late.
    """

    records: list[Origin]
    shed: int
    reason: Reason
    refused: int = 0

    @property
    def computed(self) -> int:
        """Number of records in the batch that the model computes."""
        return len(self.records) - self.refused


def pick(waiting: deque[Origin], limits: Limits, late: Callable[[Origin], bool], keep: int | None = None) -> Picked:
    """Takes the next batch out of `waiting`.

    Args:
        late: whether a record will be refused because it is too late.
        keep: with more records waiting than this, the oldest are shed. None: none is.
    """
    shed = 0 if keep is None else min(max(0, len(waiting) - keep), _MOST_REFUSED)
    if shed:
        _oldest_first(waiting)
    taken = [waiting.popleft() for _ in range(shed)]
    computed = bytes_ = refused = 0
    reason: Reason = "drained"
    while waiting:
        first = waiting[0]
        if late(first):
            if refused == _MOST_REFUSED:
                reason = "full"
                break
            refused += 1
        elif computed == limits.records:
            reason = "full"
            break
        elif computed and bytes_ + len(first.value or b"") > limits.budget:
            reason = "budget"
            break
        else:
            computed += 1
            bytes_ += len(first.value or b"")
        taken.append(waiting.popleft())
    return Picked(taken, shed, reason, shed + refused)


def _oldest_first(waiting: deque[Origin]) -> None:
    """Sorts by age over all partitions, which a consumer returns one after the other; each keeps its own order."""
    latest: dict[int, int] = {}
    aged: list[tuple[int, int, Origin]] = []
    for record in waiting:
        latest[record.partition] = max(record.timestamp_ms, latest.get(record.partition, 0))
        aged.append((latest[record.partition], len(aged), record))
    waiting.clear()
    waiting.extend(record for *_, record in sorted(aged, key=operator.itemgetter(0, 1)))
