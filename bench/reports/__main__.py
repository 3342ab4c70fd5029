"""The figures of reports and comparisons."""

from __future__ import annotations

import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

from bench.reports import made_up
from drills.evidence import logbook
from drills.reports.comparison import comparison
from drills.reports.page import page
from drills.reports.verifying import verified

_SIZES = (6_000, 80_000, 1_000_000)
_CHANGES = 1_000
_PAIRS = 200
_ANSWERS = 5_000  # before the fault, and after it, of each run of a pair


T = TypeVar("T")


def main() -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["STANDFAST_HOME"] = home
        for size in _SIZES:
            _print_report(size)
        _print_refused()
    _print_pairs()


def _print_report(size: int) -> None:
    whole = made_up.history(size, seed=size)
    told = made_up.story(whole, "d1")
    logbook.keep("d1", whole, made_up.TERMS)
    del whole
    text, took_s = _timed(lambda: page([told]))
    found, checked_s = _timed(lambda: verified(text.encode()))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    _print(
        f"report of {size:>9,} requests: made in {took_s:.2f} s, {len(text.encode()) / 1e6:.2f} MB, verified in "
        f"{checked_s:.2f} s ({found.trust}: {found.drills[0].reason}; peak {memory:.1f} GiB with the history made up)"
    )


def _print_refused() -> None:
    whole = made_up.history(3_000, seed=3)
    logbook.keep("d1", whole, made_up.TERMS)
    data, dice = page([made_up.story(whole, "d1")]).encode(), random.Random(1)
    changed = (_changed(data, dice) for _ in range(_CHANGES))
    refused = sum(verified(each).trust == "refused" for each in changed)
    _print(f"changed files refused: {refused:,} of {_CHANGES:,}")


def _changed(data: bytes, dice: random.Random) -> bytes:
    """One byte is another one."""
    at = dice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ dice.randrange(1, 256)]) + data[at + 1 :]


def _print_pairs() -> None:
    count = 2 * _ANSWERS
    same = slower = 0
    for number in range(_PAIRS):
        first = made_up.history(count, 2 * number)
        same += comparison(first, made_up.history(count, 2 * number + 1)).outcome == "worse"
        slower += comparison(first, made_up.history(count, 2 * number + 1, slow_end=1.2)).outcome == "worse"
    answers = f"{_ANSWERS:,} answers before and after the fault"
    _print(f"pairs without a difference, {answers}: {same} of {_PAIRS} called worse ({same / _PAIRS:.1%})")
    _print(f"pairs with a p99 20 % higher, {answers}: {slower} of {_PAIRS} called worse ({slower / _PAIRS:.1%})")


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
