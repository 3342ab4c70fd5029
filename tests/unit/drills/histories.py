"""Histories of drills for the tests of reports: made up, with any kind of trouble in them."""

from __future__ import annotations

import random

from drills.evidence.history import Fault, History, Request, Sighting

START = 123_456.789_012_345  # seconds of the drill's clock


def history(
    count: int,
    *,
    seed: int = 1,
    outage_s: float = 0.4,
    slower: float = 1.0,
    trouble: float = 0.0,
    rate: float = 200.0,
) -> History:
    """So many requests over three partitions in order, two of them struck in the middle.

    `trouble` is the share of requests that are lost, doubled, refused, wrong, not acknowledged or out of order.
    """
    dice = random.Random(seed)
    fault_at = START + count / rate / 2
    requests, offsets, written = [], [0, 0, 0], [0, 0]
    for number in range(count):
        due, partition, k = START + number / rate, number % 3, 1 + number % 7
        seen = due + slower * 0.02 * dice.lognormvariate(0, 0.3)
        if partition < 2 and fault_at <= due < fault_at + outage_s:
            seen = max(seen, fault_at + outage_s + dice.random() / 100)
        offsets[partition] += 1
        written[result := dice.randrange(2)] += 1 + (dice.random() < 0.2)
        worker = f"search-{partition + 3 * (partition < 2 and due >= fault_at)}"
        answer = Sighting(seen, result, written[result], "ok", worker, round(seen * 1000) + 10**12, k)
        request = Request(f"d1-{number}", partition, due, due + dice.random() / 1000, "acked", offsets[partition],
                          (answer,), k)  # fmt: skip
        requests.append(_troubled(request, answer, dice) if dice.random() < trouble else request)
    struck = Fault(fault_at, frozenset({0, 1}), "kill", (frozenset({0, 1}),), ended=fault_at + outage_s)
    unexpected = ("d1-none",) if trouble else ()
    return History(tuple(requests), unexpected, (struck,), ended=START + count / rate + 5)


def _troubled(request: Request, answer: Sighting, dice: random.Random) -> Request:
    from msgspec.structs import replace

    return dice.choice(
        (
            replace(request, answers=()),
            replace(request, answers=(answer, replace(answer, offset=answer.offset + 1, at=answer.at + 0.1))),
            replace(request, answers=(replace(answer, status="error"),)),
            replace(request, answers=(replace(answer, items=request.k + 1),)),
            replace(request, answers=(replace(answer, items=request.k - 1),)),
            replace(request, sent="unknown", offset=-1, answers=()),
            replace(request, offset=max(0, request.offset - 2)),
            replace(request, copies=(request.offset, request.offset + 1)),
        )
    )
