"""What a history proves. Pure: the same history gives the same figures, in whatever order its requests are listed.

lost          acked by the broker, and no answer seen when the drill stopped reading
duplicated    answers seen beyond one for each time the request was written, by a read_committed reader
written twice requests that the load's own producer has written to Kafka more than once: each of these records is to be
              answered, so that this says something of the load and nothing of the system
unexpected    answers to requests of this drill that it never sent
out of order  answers whose request stood before an already answered one. One owner at a time answers a request
              partition in its order, and a successor goes on at the committed offset, so this holds across a takeover
              too; answers are spread over result partitions by key and compared within one of them only.
wrong         answers that cannot be to their requests. Neighbouring requests ask for different numbers of products, so
              that answers that were swapped or shifted have too many for the request whose id they bear. Too few are
              wrong as well where all answers before the fault were full: a small shop may not have so many.
RTO           as `drills.evidence.recovery` defines it; of several faults the longest.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from drills.evidence.history import History, Request
from drills.evidence.latency import latency
from drills.evidence.recovery import Recoveries
from schemas.records import Latency


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one drill. `first_ms`, `rto_ms` and `recovered_at` are None if that never happened.

    `watched_ms` is how long the history goes on after the last fault; `compared` how many answers were held against
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
    watched_ms: float
    before: Latency
    during: Latency
    after: Latency
    compared: int = 0
    wrong: int = 0
    written_twice: int = 0


def measure(history: History) -> Measured:
    """The figures of a history."""
    requests = history.requests
    acked = [request for request in requests if request.sent == "acked"]
    recoveries = Recoveries(history)
    faults = history.faults
    recovered_at = _latest(recoveries.recovered_at(fault) for fault in faults)
    struck = min((fault.at for fault in faults), default=math.inf)
    before, during, after = _split(requests, struck, recovered_at)
    compared, wrong = wrong_answers(requests, struck)
    return Measured(
        sent=len(requests),
        acked=len(acked),
        unacked=len(requests) - len(acked),
        answered=sum(1 for request in requests if request.answers),
        lost=sum(1 for one in acked if not one.answers),
        duplicated=sum(max(0, len(request.answers) - max(1, len(request.copies))) for request in requests),
        unexpected=len(history.unexpected),
        out_of_order=out_of_order(requests),
        not_ok=dict(
            Counter(seen.status for request in requests for seen in request.answers[:1] if seen.status != "ok")
        ),
        first_ms=_latest(recoveries.first_ms(fault) for fault in faults),
        rto_ms=_latest(recoveries.rto_ms(fault) for fault in faults),
        recovered_at=recovered_at,
        watched_ms=max(0.0, history.ended - max((fault.at for fault in faults), default=math.inf)) * 1000,
        before=latency(before),
        during=latency(during),
        after=latency(after),
        compared=compared,
        wrong=wrong,
        written_twice=sum(len(request.copies) > 1 for request in requests),
    )


def out_of_order(requests: Iterable[Request]) -> int:
    """Answers that came after the answer to a later request of the same partition."""
    lanes: defaultdict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for request in requests:
        offsets = sorted(request.copies) or ([request.offset] if request.offset >= 0 else [])
        answers = sorted(request.answers, key=lambda seen: (seen.at, seen.offset))
        for offset, seen in zip(offsets, answers, strict=False):
            lanes[request.partition, seen.partition].append((seen.offset, offset))
    count = 0
    for lane in lanes.values():
        furthest = -1
        for _, offset in sorted(lane):
            count += offset < furthest
            furthest = max(furthest, offset)
    return count


def wrong_answers(requests: Iterable[Request], struck: float = math.inf) -> tuple[int, int]:
    """How many answers could be held against their requests, and how many of them cannot be to these."""
    seen = [
        (request.k, answer)
        for request in requests
        if request.k > 0
        for answer in request.answers
        if answer.status == "ok" and answer.items >= 0
    ]
    full = all(answer.items >= k for k, answer in seen if answer.at <= struck)
    return len(seen), sum(answer.items > k or (full and answer.items < k) for k, answer in seen)


def _latest(times: Iterable[float | None]) -> float | None:
    """The largest; None if there is none, or one of them never came."""
    known = list(times)
    return None if None in known else max((one for one in known if one is not None), default=None)


def _split(
    requests: Iterable[Request], struck: float, recovered_at: float | None
) -> tuple[list[Request], list[Request], list[Request]]:
    """Answered before the first fault; under way at any moment until the last recovery; sent after that."""
    before: list[Request] = []
    during: list[Request] = []
    after: list[Request] = []
    for request in requests:
        at = request.answered_at
        if at is not None and at <= struck:
            before.append(request)
        elif recovered_at is not None and request.invoked > recovered_at:
            after.append(request)
        else:
            during.append(request)
    return before, during, after
