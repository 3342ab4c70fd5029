"""How long a fault was felt: the definitions that drills and `standfast bench failover` share. Pure.

RTO     from the fault's start until every partition that it hit has answered a request sent after the start; the last
        partition counts. An answer to an earlier request may still be the victim's, so it does not count.
        `rto_ms` in `drills.results` and in `bench failover --json` is always this.
first   the same for the first of these partitions.
answer  from the fault's start until the first answer that only a successor can have written, from any partition of the
        victim; of several victims the last counts. Answers to requests that were in flight count too, so this is the
        takeover alone, without the wait for the next request to each partition. Answers that the victim committed do
        not count: their timestamps are not later than the fault's. `bench failover` prints this figure.
pause   how much longer than the median latency the slowest request waited, of those in flight at the start and those
        due until the fault had ended.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate, islice
from operator import attrgetter

from drills.evidence.history import Fault, History, Request, Sighting
from drills.evidence.latency import latency
from schemas.records import Latency


class Recoveries:
    """Computes the figures of each fault of a history."""

    def __init__(self, history: History) -> None:
        self._requests = history.requests
        self._faults = history.faults

    def recovered_at(self, fault: Fault) -> float | None:
        """When the last partition that it hit answered a request sent after its start; None if one never did.

        A fault that hit no partition, such as the death of a standby, was over when it began.
        """
        if not fault.partitions:
            return fault.at
        answered_at = self._answered_after(fault)
        return max((at for at in answered_at if at is not None), default=None) if None not in answered_at else None

    def rto_ms(self, fault: Fault) -> float | None:
        """The RTO; None if a partition did not recover."""
        at = self.recovered_at(fault)
        return None if at is None else (at - fault.at) * 1000

    def first_ms(self, fault: Fault) -> float | None:
        """The same for the first of its partitions."""
        if not fault.partitions:
            return 0.0
        at = min((at for at in self._answered_after(fault) if at is not None), default=None)
        return None if at is None else (at - fault.at) * 1000

    def answered_ms(self, fault: Fault, since: float | None = None) -> float:
        """From its start, or from `since`, until a successor's first answer; infinite if there was none."""
        begin = fault.at if since is None else since
        victims = fault.victims or (fault.partitions,)
        return max((self._taken_over_at(fault, victim) - begin) * 1000 for victim in victims)

    def pause_ms(self, fault: Fault) -> float:
        """The pause; infinite if one of these requests was never answered."""
        until = math.inf if fault.ended is None else fault.ended
        waits = [
            math.inf if request.answered_at is None else (request.answered_at - request.due) * 1000
            for request in self._acked
            if request.due < until and (request.answered_at is None or request.answered_at > fault.at)
        ]
        return max(0.0, max(waits, default=0.0) - self._median_ms)

    def usual(self) -> Latency:
        """The latency of requests that were due and answered while there was no fault."""
        fault_times = [(fault.at, math.inf if fault.ended is None else fault.ended) for fault in self._faults]
        return latency(
            request
            for request in self._acked
            if request.answered_at is not None
            and not any(at < request.answered_at and request.due < until for at, until in fault_times)
        )

    def _answered_after(self, fault: Fault) -> list[float | None]:
        """For each partition that it hit: when it first answered a request sent after the fault's start."""
        return [self._first_answer_after(partition, fault.at) for partition in fault.partitions]

    def _first_answer_after(self, partition: int, at: float) -> float | None:
        invoked, answered = self._by_partition.get(partition, ([], []))
        index = bisect_left(invoked, at)
        return answered[index] if index < len(answered) else None

    def _taken_over_at(self, fault: Fault, partitions: Iterable[int]) -> float:
        first_index = bisect_right(self._answers, fault.at, key=lambda pair: pair[0].at)
        successors_answers = (
            answer.at
            for answer, partition in islice(self._answers, first_index, None)
            if partition in partitions and answer.written_ms > fault.written_after_ms
        )
        return next(successors_answers, math.inf)

    @cached_property
    def _acked(self) -> list[Request]:
        return [request for request in self._requests if request.sent == "acked"]

    @cached_property
    def _answers(self) -> list[tuple[Sighting, int]]:
        """Every answer with its request's partition, in the order they were read."""
        answers = ((sighting, request.partition) for request in self._requests for sighting in request.answers)
        return sorted(answers, key=lambda answer: answer[0].at)

    @cached_property
    def _median_ms(self) -> float:
        return latency(self._acked).p50_ms or 0.0

    @cached_property
    def _by_partition(self) -> dict[int, tuple[list[float], list[float]]]:
        """By partition: when its answered requests were sent, and the first answer to each or a later one."""
        answered: defaultdict[int, list[Request]] = defaultdict(list)
        for request in sorted((request for request in self._requests if request.answers), key=attrgetter("invoked")):
            answered[request.partition].append(request)
        return {partition: _earliest(requests) for partition, requests in answered.items()}


def _earliest(requests: Sequence[Request]) -> tuple[list[float], list[float]]:
    backwards = accumulate((at for request in reversed(requests) if (at := request.answered_at) is not None), min)
    return [request.invoked for request in requests], list(backwards)[::-1]
