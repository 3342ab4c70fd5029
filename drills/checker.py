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
RTO           from the kill until every partition of the victim has answered a request that was sent after the kill.
              (An answer to an earlier request may still be the victim's own, so it proves nothing.)
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from drills.history import History, Request
from schemas.records import Latency


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one drill. `first_ms`, `rto_ms` and `recovered_at` are None if that never happened.

    `watched_ms` is how long the history goes on after the fault; `compared` how many answers were held against their
    requests.
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
    acked = [one for one in requests if one.sent == "acked"]
    recovered = recovery_times(history)
    everywhere = bool(recovered) and None not in recovered.values()
    back = [at for at in recovered.values() if at is not None]
    recovered_at = max(back) if everywhere else None
    struck = history.fault.at if history.fault else math.inf
    before, during, after = _split(requests, struck, recovered_at)
    compared, wrong = wrong_answers(requests, struck)
    return Measured(
        sent=len(requests),
        acked=len(acked),
        unacked=len(requests) - len(acked),
        answered=sum(1 for one in requests if one.answers),
        lost=sum(1 for one in acked if not one.answers),
        duplicated=sum(max(0, len(one.answers) - max(1, len(one.copies))) for one in requests),
        unexpected=len(history.unexpected),
        out_of_order=out_of_order(requests),
        not_ok=dict(Counter(seen.status for one in requests for seen in one.answers[:1] if seen.status != "ok")),
        first_ms=(min(back) - struck) * 1000 if back else None,
        rto_ms=None if recovered_at is None else (recovered_at - struck) * 1000,
        recovered_at=recovered_at,
        watched_ms=max(0.0, history.ended - struck) * 1000,
        before=latency(before),
        during=latency(during),
        after=latency(after),
        compared=compared,
        wrong=wrong,
        written_twice=sum(len(one.copies) > 1 for one in requests),
    )


def recovery_times(history: History) -> dict[int, float | None]:
    """For each partition the fault hit, when it first answered a request sent after it; None: never."""
    if history.fault is None:
        return {}
    times: dict[int, float | None] = dict.fromkeys(history.fault.partitions)
    for one in history.requests:
        at = one.answered_at
        if one.partition not in times or at is None or one.invoked < history.fault.at:
            continue
        known = times[one.partition]
        times[one.partition] = at if known is None else min(known, at)
    return times


def out_of_order(requests: Iterable[Request]) -> int:
    """Answers that came after the answer to a later request of the same partition."""
    lanes: defaultdict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for one in requests:
        offsets = sorted(one.copies) or ([one.offset] if one.offset >= 0 else [])
        answers = sorted(one.answers, key=lambda seen: (seen.at, seen.offset))
        for offset, seen in zip(offsets, answers, strict=False):
            lanes[one.partition, seen.partition].append((seen.offset, offset))
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
        (one.k, answer)
        for one in requests
        if one.k > 0
        for answer in one.answers
        if answer.status == "ok" and answer.items >= 0
    ]
    full = all(answer.items >= k for k, answer in seen if answer.at <= struck)
    return len(seen), sum(answer.items > k or (full and answer.items < k) for k, answer in seen)


def latency(requests: Iterable[Request]) -> Latency:
    """Nearest-rank percentiles of the answered ones; only the count when there are none."""
    times = sorted(ms for one in requests if (ms := one.latency_ms) is not None)
    if not times:
        return Latency(count=0)
    return Latency(count=len(times), p50_ms=_rank(times, 0.5), p99_ms=_rank(times, 0.99), max_ms=round(times[-1], 3))


def _rank(times: list[float], share: float) -> float:
    return round(times[max(0, math.ceil(share * len(times)) - 1)], 3)


def _split(
    requests: Iterable[Request], struck: float, recovered_at: float | None
) -> tuple[list[Request], list[Request], list[Request]]:
    """Answered before the fault; under way at any moment of it; sent after the recovery."""
    before: list[Request] = []
    during: list[Request] = []
    after: list[Request] = []
    for one in requests:
        at = one.answered_at
        if at is not None and at <= struck:
            before.append(one)
        elif recovered_at is not None and one.invoked > recovered_at:
            after.append(one)
        else:
            during.append(one)
    return before, during, after
