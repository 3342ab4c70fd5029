"""Whether a drill went worse than an earlier run of it: a verdict for pipelines, with the noise that it allows for.

Latencies of requests answered before the fault, and of those sent after the recovery, are compared by ranks: a few slow
answers do not decide, a shift of all of them does. Those under way meanwhile wait for the recovery itself, so for them
the recovery time is compared. Requests of one run are not independent of each other, so a small p alone says little: a
run is worse only if the shift is also larger than `NOISE` and in most pairs of answers.

What grows slower at its slow end alone moves no median. So the 99th percentiles are compared too, by the bounds of
their ratio (`drills.evidence.tails`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final, Literal

from msgspec import Struct

from drills.evidence.checker import Measured, measure, split
from drills.evidence.history import History, Request
from drills.evidence.ranks import rank_test
from drills.evidence.tails import tail_ratio
from drills.evidence.verdict import MIN_SAMPLES

Outcome = Literal["no worse", "worse", "unknown"]
CODES: Final[dict[Outcome, int]] = {"no worse": 0, "worse": 1, "unknown": 2}
LEAST_ANSWERS: Final = 20  # in each run; with fewer the approximation of the test does not hold
NOISE: Final = 0.1  # a median latency that is larger by less than this share is no regression
RTO_NOISE: Final = 0.5  # the same for the recovery time, of which each run has only one
_RTO_NOISE_MS = 100.0
_SURE = 0.01  # p below this counts
_MEDIUM = 0.64  # the effect size from which a shift counts (Vargha and Delaney)
_WRONG = ("lost", "unexpected", "duplicated", "out_of_order", "wrong")


class Compared(Struct, frozen=True, omit_defaults=True):
    """One figure of both runs. `p` and `larger` as `drills.evidence.ranks.RankTest` has them.

    `at_least` and `at_most`: the bounds of the second by the first, as `drills.evidence.tails.TailRatio` has them.
    """

    figure: str
    outcome: Outcome
    first: float | None
    second: float | None
    reason: str
    p: float | None = None
    larger: float | None = None
    at_least: float | None = None
    at_most: float | None = None


class RunComparison(Struct, frozen=True):
    """The outcome of the worst figure: `worse` before `unknown` before `no worse`."""

    outcome: Outcome
    noise: float
    rto_noise: float
    figures: list[Compared]


def comparison(first: History, second: History, noise: float = NOISE, rto_noise: float = RTO_NOISE) -> RunComparison:
    """Compares the second run with the first."""
    if other := _other_drill(first, second):
        unlike = Compared("faults", "unknown", len(first.faults), len(second.faults), other)
        return RunComparison("unknown", noise, rto_noise, [unlike])
    earlier, now = measure(first), measure(second)
    windows = zip(("before", "after"), _windows(first, earlier), _windows(second, now), strict=True)
    figures = [
        *_counts(earlier, now),
        _rto(earlier, now, rto_noise),
        *(each for name, earlier_ms, now_ms in windows for each in _both(name, earlier_ms, now_ms, noise)),
    ]
    return RunComparison(_worst(figure.outcome for figure in figures), noise, rto_noise, figures)


def _worst(outcomes: Iterable[Outcome]) -> Outcome:
    seen = set(outcomes)
    return "worse" if "worse" in seen else "unknown" if "unknown" in seen else "no worse"


def _other_drill(first: History, second: History) -> str:
    """Why the runs cannot be compared; empty if they can."""
    names = [Counter(fault.name for fault in history.faults) for history in (first, second)]
    if not names[0] or not names[1]:
        return "a run has no fault: nothing was injected"
    if names[0] == names[1]:
        return ""
    return "not the same drill: " + " and ".join(", ".join(sorted(each.elements())) for each in names)


def _counts(first: Measured, second: Measured) -> Iterable[Compared]:
    for name in _WRONG:
        earlier, now = getattr(first, name), getattr(second, name)
        worse = now > earlier
        yield Compared(
            name, "worse" if worse else "no worse", earlier, now, "more than before" if worse else "no more than before"
        )
    earlier, now = sum(first.not_ok.values()), sum(second.not_ok.values())
    share, share_now = (count / max(1, run.answered) for count, run in ((earlier, first), (now, second)))
    worse = share_now > share * 2 and now > earlier + 2
    yield Compared(
        "not_ok",
        "worse" if worse else "no worse",
        earlier,
        now,
        "a larger share of answers is not ok" if worse else "no larger share of answers is not ok",
    )


def _rto(first: Measured, second: Measured, noise: float) -> Compared:
    earlier, now = first.rto_ms, second.rto_ms
    if now is None:
        outcome: Outcome = "unknown" if earlier is None else "worse"
        return Compared("rto_ms", outcome, earlier, now, "the second run did not recover")
    if earlier is None:
        return Compared("rto_ms", "unknown", earlier, now, "the first run did not recover")
    bound = max(earlier * (1 + noise), earlier + _RTO_NOISE_MS)
    told = f"{'above' if now > bound else 'within'} the noise, up to {bound:.0f} ms"
    return Compared("rto_ms", "worse" if now > bound else "no worse", earlier, now, told)


def _windows(history: History, measured: Measured) -> tuple[list[float], list[float]]:
    first_at = min((fault.at for fault in history.faults), default=float("inf"))
    before, _, after = split(history.requests, first_at, measured.over_at)
    return _latencies(before), _latencies(after)


def _latencies(requests: Sequence[Request]) -> list[float]:
    return [ms for request in requests if (ms := request.latency_ms) is not None]


def _both(window: str, first: list[float], second: list[float], noise: float) -> Iterable[Compared]:
    yield _latency(window, first, second, noise)
    if min(len(first), len(second)) >= MIN_SAMPLES:
        yield _tail(window, first, second, noise)


def _tail(window: str, first: list[float], second: list[float], noise: float) -> Compared:
    """Without a proof of the contrary it is no worse; the reason says what would have been one."""
    found = tail_ratio(first, second)
    if found.ratio > 1 + noise and found.at_least > 1:
        outcome: Outcome = "worse"
        told = f"larger by {found.ratio - 1:.0%}, and surely by {found.at_least - 1:.0%}"
    else:
        outcome = "no worse"
        seen_from = max(noise, found.ratio / found.at_least - 1)
        told = f"within the noise; of so many answers it takes a rise by {seen_from:.0%} to be sure of it"
    return Compared(
        f"p99_{window}_ms", outcome, round(found.first_ms, 3), round(found.second_ms, 3), told,
        at_least=round(found.at_least, 4), at_most=round(found.at_most, 4),
    )  # fmt: skip


def _latency(window: str, first: list[float], second: list[float], noise: float) -> Compared:
    name = f"latency_{window}_ms"
    if min(len(first), len(second)) < LEAST_ANSWERS:
        few = f"{len(first)} and {len(second)} answers; {LEAST_ANSWERS} of each run are needed"
        return Compared(name, "unknown", None, None, few)
    earlier, now, test = median(first), median(second), rank_test(first, second)
    is_larger = now > earlier * (1 + noise)
    if is_larger and test.p < _SURE and test.larger >= _MEDIUM:
        outcome: Outcome = "worse"
        told = f"larger in {test.larger:.0%} of all pairs of answers, by more than the noise of {noise:.0%}"
    elif not is_larger or test.at_most < _MEDIUM:
        outcome, told = "no worse", f"the median is within the noise of {noise:.0%}, or few pairs of answers differ"
    else:
        outcome, told = (
            "unknown",
            f"larger in {test.larger:.0%} of all pairs of answers, which may be chance: more answers",
        )
    return Compared(name, outcome, round(earlier, 3), round(now, 3), told, round(test.p, 6), round(test.larger, 4))
