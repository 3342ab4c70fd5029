"""Histories of drills made up by chance, as large as wanted: no system is needed to measure what is done with them."""

from __future__ import annotations

import math
import random

import msgspec

from drills.control.events import bounded
from drills.evidence.checker import measure
from drills.evidence.history import Fault, History, Request, Sighting
from drills.evidence.terms import Terms, verdict_fields
from drills.evidence.verdict import Finding, Objectives
from drills.reports.report import Story
from schemas.records import DrillEvent

_START = 250_000.123_456_789  # seconds of the drill's clock
_EPOCH_MS = 1_780_000_000_000
_PARTITIONS = 6
_USUAL_S = 0.012
TERMS = Terms(Objectives(rto_ms=5000, p99_ms=2000), Finding("passed", "it struck"), Finding("passed", "it is undone"))


def history(count: int, seed: int, *, rate: float = 1000.0, slow_end: float = 1.0) -> History:
    """A drill that strikes two of six partitions in its middle for half a second.

    Latencies are lognormal (sigma 0.4), those of neighbours alike, as on a machine whose load changes; of one run to
    the next they differ by two per cent. The slowest twentieth is slower by the factor `slow_end`.
    """
    dice, load = random.Random(seed), 0.0
    of_the_run = math.exp(dice.gauss(0.0, 0.02))
    fault_at, over = _START + count / rate / 2, 0.5 + dice.random() / 10
    requests, offsets, written = [], [0] * _PARTITIONS, [0] * _PARTITIONS
    for number in range(count):
        due, partition, k = _START + number / rate, number % _PARTITIONS, 1 + number % 23
        load = 0.9 * load + dice.gauss(0.0, 0.05)
        spread = 0.4 * dice.gauss(0.0, 1.0) + load
        latency = _USUAL_S * of_the_run * math.exp(spread) * (slow_end if spread > 0.7 else 1.0)
        answered_at = due + latency
        if partition < 2 and fault_at <= due < fault_at + over:
            answered_at = max(answered_at, fault_at + over + latency)
        answered_at, result = round(answered_at * 1e9) / 1e9, dice.randrange(_PARTITIONS)
        offsets[partition] += 1
        written[result] += 1 + (dice.random() < 0.3)
        answer = Sighting(
            answered_at,
            result,
            written[result],
            "ok",
            f"search-{partition % 3}",
            _EPOCH_MS + int(answered_at * 1000),
            k,
        )
        sent_at = round((due + dice.random() / 500) * 1e9) / 1e9
        request_id = f"worker-kill-1f0c9a2e-{number}"
        requests.append(Request(request_id, partition, due, sent_at, "acked", offsets[partition], (answer,), k))
    struck = Fault(fault_at, frozenset({0, 1}), "kill", (frozenset({0, 1}),), _EPOCH_MS, fault_at + 1.0)
    return History(tuple(requests), (), (struck,), ended=_START + count / rate + 2)


def story(kept: History, drill_id: str) -> Story:
    """The events of that drill."""
    fields = msgspec.structs.asdict(verdict_fields(TERMS, measure(kept), ()))
    accepted = DrillEvent(drill_id=drill_id, drill="worker-kill", phase="accepted", at=_EPOCH_MS)
    last = msgspec.structs.replace(accepted, phase="completed", at=_EPOCH_MS + int(kept.ended * 1000), **fields)
    return Story(drill_id, (accepted, bounded(last)))
