"""`python -m bench.judging [REQUESTS]`: the time and the memory that a verdict on a million requests takes."""

from __future__ import annotations

import random
import resource
import sys
import time

from drills.evidence.checker import measure
from drills.evidence.history import Fault, History, Request, Sighting

_REQUESTS = 1_000_000
_PER_S = 1000.0
_PARTITIONS = 12
_OUTAGE_S = 0.4


def main() -> None:
    """Prints both, the history's own part apart; 10 s and 500 MB are to be held."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else _REQUESTS
    history = _history(count)
    kept_mb = _peak_mb()
    began, processor_s = time.perf_counter(), time.process_time()
    measured = measure(history)
    took_s, processor_s = time.perf_counter() - began, time.process_time() - processor_s
    sys.stdout.write(
        f"{count:,} requests judged in {took_s:.1f} s ({processor_s:.1f} s of a core); {_peak_mb():.0f} MB at most, of "
        f"which {kept_mb:.0f} MB are the program and the history; lost {measured.lost}, RTO {measured.rto_ms:.0f} ms\n"
    )


def _history(count: int) -> History:
    """Requests at 1,000 a second over 12 partitions, one of which does not answer for 0.4 s in the middle."""
    chance, struck = random.Random(7), count / _PER_S / 2
    requests = tuple(_request(number, chance, struck) for number in range(count))
    return History(requests, (), (Fault(struck, frozenset({0}), "kill"),), ended=count / _PER_S + 10)


def _request(number: int, chance: random.Random, struck: float) -> Request:
    due, partition, offset = number / _PER_S, number % _PARTITIONS, number // _PARTITIONS
    answered_at = due + chance.uniform(0.005, 0.02)
    if partition == 0 and struck <= due < struck + _OUTAGE_S:
        answered_at = max(answered_at, struck + _OUTAGE_S)
    answer = Sighting(answered_at, partition, offset, "ok", "search-0", 1_700_000_000_000 + number, 10)
    return Request(f"bench-{number}", partition, due, due + 1e-4, "acked", offset, (answer,), 10)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
