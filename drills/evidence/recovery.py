"""How long a fault was felt: the one judge of drills and of `standfast bench failover`. Pure.

RTO     from the fault's start until every partition that it hit has answered a request that was sent after the start;
        the last partition counts. An answer to an earlier request may still be the victim's own, so it proves nothing.
        What `drills.results` calls `rto_ms`, and `bench failover --json` too, is this and nothing else.
first   the same for the first of these partitions.
answer  from the fault's start until the first answer that nobody but a successor can have written, from any partition
        of the victim; of several victims the last counts. Requests that were under way count as well as later ones, so
        it is the takeover itself, without the wait for the next request to each partition. What the victim had
        committed does not count: its records' timestamps are not later than the fault's. `bench failover` prints it.
pause   how much longer than usual the slowest request waited, of those under way at the start and those that came until
        the fault had ended.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from itertools import accumulate, islice

from drills.evidence.history import Fault, History, Request, Sighting
from drills.evidence.latency import latency
from schemas.records import Latency


class Recoveries:
    """The figures of each fault of a history."""

    def __init__(self, history: History) -> None:
        self._requests = history.requests
        self._faults = history.faults

    def recovered_at(self, fault: Fault) -> float | None:
        """When the last partition that it hit had answered a request sent after its start; None: never."""
        back = self._back(fault)
        return max((at for at in back if at is not None), default=None) if None not in back else None

    def rto_ms(self, fault: Fault) -> float | None:
        """The RTO; None if there was no recovery."""
        at = self.recovered_at(fault)
        return None if at is None else (at - fault.at) * 1000

    def first_ms(self, fault: Fault) -> float | None:
        """The same for the first of its partitions."""
        at = min((at for at in self._back(fault) if at is not None), default=None)
        return None if at is None else (at - fault.at) * 1000

    def answered_ms(self, fault: Fault, since: float | None = None) -> float:
        """Until a successor's first answer, from the start or from `since`; infinite if there was none."""
        begin = fault.at if since is None else since
        victims = fault.victims or (fault.partitions,)
        return max((self._successor(fault, victim) - begin) * 1000 for victim in victims)

    def pause_ms(self, fault: Fault) -> float:
        """The longest pause; infinite if a request was never answered."""
        until = math.inf if fault.ended is None else fault.ended
        waits = [
            math.inf if one.answered_at is None else (one.answered_at - one.due) * 1000
            for one in self._acked
            if one.due < until and (one.answered_at is None or one.answered_at > fault.at)
        ]
        return max(0.0, max(waits, default=0.0) - self._usual_ms)

    def usual(self) -> Latency:
        """The latency of requests that came and were answered while no fault lasted."""
        amiss = [(fault.at, math.inf if fault.ended is None else fault.ended) for fault in self._faults]
        return latency(
            one
            for one in self._acked
            if one.answered_at is not None and not any(at < one.answered_at and one.due < until for at, until in amiss)
        )

    def _back(self, fault: Fault) -> list[float | None]:
        """For each partition that it hit, when that first answered a request sent after its start."""
        return [self._first_after(partition, fault.at) for partition in fault.partitions]

    def _first_after(self, partition: int, at: float) -> float | None:
        invoked, answered = self._by_partition.get(partition, ([], []))
        place = bisect_left(invoked, at)
        return answered[place] if place < len(answered) else None

    def _successor(self, fault: Fault, partitions: Iterable[int]) -> float:
        begin = bisect_right(self._answers, fault.at, key=lambda seen: seen[0].at)
        theirs = (
            seen.at
            for seen, partition in islice(self._answers, begin, None)
            if partition in partitions and seen.written_ms > fault.written_after_ms
        )
        return next(theirs, math.inf)

    @cached_property
    def _acked(self) -> list[Request]:
        return [request for request in self._requests if request.sent == "acked"]

    @cached_property
    def _answers(self) -> list[tuple[Sighting, int]]:
        """Every answer and the partition of its request, as they were seen."""
        answers = ((seen, request.partition) for request in self._requests for seen in request.answers)
        return sorted(answers, key=lambda answer: answer[0].at)

    @cached_property
    def _usual_ms(self) -> float:
        return latency(self._acked).p50_ms or 0.0

    @cached_property
    def _by_partition(self) -> dict[int, tuple[list[float], list[float]]]:
        """Of each partition when its answered requests were sent, and the first answer to these or any later one."""
        answered: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
        for request in self._requests:
            if (at := request.answered_at) is not None:
                answered[request.partition].append((request.invoked, at))
        return {partition: _earliest(sorted(pairs)) for partition, pairs in answered.items()}


def _earliest(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    backwards = list(accumulate((answered for _, answered in reversed(pairs)), min))
    return [invoked for invoked, _ in pairs], backwards[::-1]
