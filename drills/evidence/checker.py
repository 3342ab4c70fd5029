"""The figures that a history proves. Pure: the order in which a history lists its requests changes no figure.

lost          requests that the broker acked and that had no answer when the drill stopped reading
deleted       the same, where the drill's own fault had deleted the request from Kafka; these are not lost by the system
duplicated    answers beyond one for each record of the request, as a read_committed reader sees them
written twice requests that the load's producer wrote to Kafka more than once. Each record has to be answered, so this
              is a property of the load, not of the system
unexpected    answers with an id of this drill that it never sent
out of order  answers to a request that comes before an already answered one. A request partition has one owner at a
              time, which answers in offset order, and its successor starts at the committed offset, so the order holds
              across a takeover too. Results are partitioned by key; only answers in one result partition are compared.
wrong         answers that cannot belong to their requests. Successive requests ask for different numbers of products,
              so an answer that was swapped or shifted has too many for the request whose id it has. Too few products
              are wrong too, unless an answer before the fault already had too few: a small shop may not have as many.
RTO           as `drills.evidence.recovery` defines it; of several faults the longest
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drills.evidence.history import History, Request, Sighting
from drills.evidence.latency import latency
from drills.evidence.recovery import Recoveries
from schemas.records import Latency


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one drill. `first_ms`, `rto_ms`, `recovered_at` and `over_at` are None if it did not recover.

    `after` begins at `over_at`: all partitions answer again and no fault lasts that the drill lifts while load runs. A
    group that is rebalanced for 10 s answers 0.2 s after it began and is slow all the same until those 10 s are over.
    `watched_ms` is how long the history goes on after the last fault; `compared` is how many answers were compared with
    their requests.
    """

    sent: int
    acked: int
    unacked: int
    answered: int
    lost: int
    duplicated: int
    unexpected: int
    out_of_order: int
    not_ok: dict[str, int]
    first_ms: float | None
    rto_ms: float | None
    recovered_at: float | None
    over_at: float | None
    watched_ms: float
    before: Latency
    during: Latency
    after: Latency
    compared: int = 0
    wrong: int = 0
    written_twice: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests of a history that are only counted: acknowledged, answered once and well. Latencies in milliseconds."""

    before: Sequence[float] = ()
    during: Sequence[float] = ()
    after: Sequence[float] = ()
    compared: int = 0

    @property
    def requests(self) -> int:
        """How many there are."""
        return len(self.before) + len(self.during) + len(self.after)


_NOBODY = Counted()


def measure(history: History, counted: Counted = _NOBODY) -> Measured:
    """Computes the figures of a history, and of requests beside it that are only counted."""
    requests = history.requests
    acked = sum(request.sent == "acked" for request in requests)
    recoveries = Recoveries(history)
    faults = history.faults
    recovered = [recoveries.recovered_at(fault) for fault in faults]
    first_fault_at = min((fault.at for fault in faults), default=math.inf)
    over = over_at(history, recovered)
    before, during, after = split(requests, first_fault_at, over)
    missing = [request for request in requests if request.sent == "acked" and not request.answers]
    deleted = sum(any(fault.has_deleted(request) for fault in faults) for request in missing)
    compared, wrong = wrong_answers(requests, first_fault_at)
    return Measured(
        sent=len(requests) + counted.requests,
        acked=acked + counted.requests,
        unacked=len(requests) - acked,
        answered=sum(1 for request in requests if request.answers) + counted.requests,
        lost=len(missing) - deleted,
        duplicated=sum(max(0, len(request.answers) - max(1, len(request.copies))) for request in requests),
        unexpected=len(history.unexpected),
        out_of_order=out_of_order(requests),
        not_ok=dict(
            Counter(answer.status for request in requests for answer in request.answers[:1] if answer.status != "ok")
        ),
        first_ms=_latest(recoveries.first_ms(fault) for fault in faults),
        rto_ms=_latest(recoveries.rto_ms(fault) for fault in faults),
        recovered_at=_latest(recovered),
        over_at=over,
        watched_ms=max(0.0, history.ended - max((fault.at for fault in faults), default=math.inf)) * 1000,
        before=latency(before, counted.before),
        during=latency(during, counted.during),
        after=latency(after, counted.after),
        compared=compared + counted.compared,
        wrong=wrong,
        written_twice=sum(len(request.copies) > 1 for request in requests),
        deleted=deleted,
    )


def out_of_order(requests: Iterable[Request]) -> int:
    """Answers that came after the answer to a later request of the same partition."""
    by_partition: defaultdict[int, list[Request]] = defaultdict(list)
    for request in requests:
        by_partition[request.partition].append(request)
    return sum(map(_out_of_order_in_one, by_partition.values()))  # one after the other: the pairs of all take 64 MB


def _out_of_order_in_one(requests: Iterable[Request]) -> int:
    """The same for the requests of one partition, whose answers lie in any partitions."""
    by_answers: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for request in requests:
        for offset, answer in records_answered(request):
            by_answers[answer.partition].append((answer.offset, offset))
    count = 0
    for pairs in by_answers.values():
        furthest = -1
        for _, offset in sorted(pairs):
            count += offset < furthest
            furthest = max(furthest, offset)
    return count


def records_answered(request: Request) -> Iterable[tuple[int, Sighting]]:
    """The offset of each record of a request, with the answer to it."""
    offsets = sorted(request.copies) or ([request.offset] if request.offset >= 0 else [])
    return zip(offsets, sorted(request.answers, key=lambda answer: (answer.at, answer.offset)), strict=False)


def wrong_answers(requests: Iterable[Request], first_fault_at: float = math.inf) -> tuple[int, int]:
    """How many answers could be compared with their requests, and how many of those do not belong to them."""
    compared = too_many = too_few = 0
    full = True
    for request in requests:
        for answer in request.answers if request.k > 0 else ():
            if answer.status == "ok" and answer.items >= 0:
                compared += 1
                too_many += answer.items > request.k
                too_few += answer.items < request.k
                full = full and (answer.at > first_fault_at or answer.items >= request.k)
    return compared, too_many + (too_few if full else 0)


def _latest(times: Iterable[float | None]) -> float | None:
    """The largest time; None if there are none, or if one of them is None."""
    known = list(times)
    return None if None in known else max((at for at in known if at is not None), default=None)


def over_at(history: History, recovered: Iterable[float | None]) -> float | None:
    """When all was over: the last recovery, or the end of the last fault that ended while requests were sent.

    None if a fault was not recovered from; `recovered`: when each was.
    """
    recovered_at = _latest(recovered)
    last_sent = max((request.invoked for request in history.requests), default=-math.inf)
    lifted = (fault.ended for fault in history.faults if fault.ended is not None and fault.ended < last_sent)
    return None if recovered_at is None else max([recovered_at, *lifted])


def split(
    requests: Iterable[Request], first_fault_at: float, over_at: float | None
) -> tuple[list[Request], list[Request], list[Request]]:
    """The requests answered before the first fault, those sent after `over_at` (third) and the others."""
    before: list[Request] = []
    during: list[Request] = []
    after: list[Request] = []
    for request in requests:
        at = request.answered_at
        if at is not None and at <= first_fault_at:
            before.append(request)
        elif over_at is not None and request.invoked > over_at:
            after.append(request)
        else:
            during.append(request)
    return before, during, after
