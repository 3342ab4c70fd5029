"""The rule for adding and removing workers, by how long the backlog would take and how busy the workers are.

Workers are added when, for `up_after` seconds without a break, the waiting requests would wait for longer than `wait`
at the rate at which requests are answered now, or workers that are busy all the time refuse requests as too late.
Workers are removed when, for `down_after` seconds, those that remain would have been busy for less than half of their
time. One step doubles or halves their number at most, and the next one comes after `cooldown` seconds at the earliest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from consumers.channel.messages import LoadReport

_BUSY_ENOUGH = 0.5  # the share of their time for which the remaining workers may be busy after some are removed
_SMOOTHED_OVER = 10  # samples (seconds) of which the mean counts: a busy second now and then needs no further worker
_NO_TIME_LEFT = 0.9  # the share of their time above which workers count as busy all the time
_REFUSED_TOO_MANY = 0.05  # the share of requests refused as too late above which such workers need help


Cause = Literal["none", "by_hand", "limits", "backlog", "refusals", "idle"]


@dataclass(frozen=True, slots=True)
class Sample:
    """The load reports of all workers at one time (monotonic seconds)."""

    at: float
    loads: tuple[LoadReport, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """The limits of the number of workers, and of the load. Times are in seconds.

    `wait`: how long requests may wait. `up_after`, `down_after`: for how long the load must be too high or too low.
    `cooldown`: the shortest time between two steps.
    """

    fewest: int
    most: int
    wait: float
    up_after: float
    down_after: float
    cooldown: float


@dataclass(frozen=True, slots=True)
class Step:
    """How many workers to add, or to remove if negative, with the reason as a sentence and as a word.

    0: none, with the reason why not.
    """

    by: int
    reason: str
    cause: Cause = "none"


def decide(samples: Sequence[Sample], rule: Rule, now: float, last_step: float) -> Step:
    """The step that is due now.

    Args:
        samples: those since the last step or gap, oldest first, one a second.
        last_step: when the last step was taken (monotonic seconds, as `now`).
    """
    if not samples:
        return Step(0, "nothing is known of the load yet")
    workers = len(samples[-1].loads)
    if not rule.fewest <= workers <= rule.most:
        by = min(max(workers, rule.fewest), rule.most) - workers
        return Step(by, f"{rule.fewest} to {rule.most} workers are allowed", "limits")
    if now - last_step < rule.cooldown:
        return Step(0, f"the last step was {now - last_step:.0f} s ago")
    return _up(_since(samples, rule.up_after), workers, rule) or _down(_since(samples, rule.down_after), workers, rule)


def _up(window: Sequence[Sample], workers: int, rule: Rule) -> Step | None:
    """The step up; None: no more workers are needed."""
    if not window or not all(wait(sample) > rule.wait or refuses(sample) for sample in window):
        return None
    shortest_wait = min(wait(sample) for sample in window)
    cause: Cause = "backlog" if shortest_wait > rule.wait else "refusals"
    if cause == "backlog":
        reason = f"for {rule.up_after:g} s on end the backlog would have taken {shortest_wait:.1f} s or more"
    else:
        reason = f"for {rule.up_after:g} s on end workers without a free moment refused requests for want of time"
    if workers == rule.most:
        return Step(0, f"{reason}, but {rule.most} workers are the most allowed")
    needed = math.ceil(workers * max(1.0, shortest_wait / rule.wait))
    return Step(min(max(needed, workers + 1), 2 * workers, rule.most) - workers, reason, cause)


def _down(window: Sequence[Sample], workers: int, rule: Rule) -> Step:
    if workers == rule.fewest or not window:
        return Step(0, "the load is what these workers are for")
    most_busy = _most_busy(window)
    enough = max(math.floor(most_busy / _BUSY_ENOUGH) + 1, math.ceil(workers / 2), rule.fewest)
    if enough >= workers or any(wait(sample) > rule.wait / 2 or refuses(sample) for sample in window):
        return Step(0, "the load is what these workers are for")
    share = 100 * most_busy / enough
    reason = f"for {rule.down_after:g} s on end {enough} would have been {share:.0f} % busy or less"
    return Step(enough - workers, reason, "idle")


def _most_busy(window: Sequence[Sample]) -> float:
    """The highest moving average of `busy`, over ten samples."""
    busy_workers = [busy(sample) for sample in window]
    length = min(_SMOOTHED_OVER, len(busy_workers))
    return max(sum(busy_workers[at : at + length]) / length for at in range(len(busy_workers) - length + 1))


def _since(samples: Sequence[Sample], seconds: float) -> Sequence[Sample]:
    """The samples of the last `seconds`; none if they do not reach back so far."""
    begin = samples[-1].at - seconds
    if samples[0].at > begin:
        return ()
    return [sample for sample in samples if sample.at >= begin]


def wait(sample: Sample) -> float:
    """The seconds after which a worker will have answered all requests that wait for it; of the slowest worker.

    A worker with a single partition does not count, because further workers cannot relieve it; unless it is the only
    one.
    """
    alone = len(sample.loads) == 1
    return max((_wait(load) for load in sample.loads if alone or load.partitions > 1), default=0.0)


def _wait(load: LoadReport) -> float:
    if not load.waiting:
        return 0.0
    return load.waiting * load.busy_s / load.answered if load.answered else load.oldest_s


def busy(sample: Sample) -> float:
    """How many workers the load would keep busy all the time."""
    return sum(load.busy_s / load.over_s for load in sample.loads)


def refuses(sample: Sample) -> bool:
    """Whether workers that are busy all the time refuse more than 5 % of their requests as too late."""
    answered, refused = sum(load.answered for load in sample.loads), sum(load.refused for load in sample.loads)
    return refused > _REFUSED_TOO_MANY * answered and busy(sample) > _NO_TIME_LEFT * len(sample.loads)
