"""The rule by which a service has more workers or fewer: by how long its backlog would take, and how busy they are.

More, when for some seconds on end the requests that wait would have to wait for longer than they should, at the pace at
which they are answered now, or workers without a free moment refuse requests for want of time. Fewer, when for a good
while the ones that remain would have been busy for less than half of their time. Doubled or halved at most, and not
again until the last step has had time to show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from consumers.channel.messages import LoadReport

_BUSY_ENOUGH = 0.5
_SMOOTHED_OVER = 10  # samples: a busy second now and then needs no further worker
_NO_TIME_LEFT = 0.9
_REFUSED_TOO_MANY = 0.05


Cause = Literal["none", "by_hand", "limits", "backlog", "refusals", "idle"]


@dataclass(frozen=True, slots=True)
class Sample:
    """What every worker said at one time (monotonic seconds)."""

    at: float
    loads: tuple[LoadReport, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """Between which numbers of workers, and by how much and how long a limit must be passed. Times are seconds."""

    fewest: int
    most: int
    wait: float
    up_after: float
    down_after: float
    cooldown: float


@dataclass(frozen=True, slots=True)
class Step:
    """So many workers more, or fewer if negative, and why, in a word and in many; 0 with why not."""

    by: int
    reason: str
    cause: Cause = "none"


def decide(samples: Sequence[Sample], rule: Rule, now: float, last_step: float) -> Step:
    """What to do, after the samples since the last step or gap, oldest first, and the time of the last step."""
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
    """None: there is no need for more."""
    if not window or not all(wait(one) > rule.wait or refuses(one) for one in window):
        return None
    waits = min(wait(one) for one in window)
    cause: Cause = "backlog" if waits > rule.wait else "refusals"
    if cause == "backlog":
        reason = f"for {rule.up_after:g} s on end the backlog would have taken {waits:.1f} s or more"
    else:
        reason = f"for {rule.up_after:g} s on end workers without a free moment refused requests for want of time"
    if workers == rule.most:
        return Step(0, f"{reason}, but {rule.most} workers are the most allowed")
    needed = math.ceil(workers * max(1.0, waits / rule.wait))
    return Step(min(max(needed, workers + 1), 2 * workers, rule.most) - workers, reason, cause)


def _down(window: Sequence[Sample], workers: int, rule: Rule) -> Step:
    if workers == rule.fewest or not window:
        return Step(0, "the load is what these workers are for")
    most_busy = _most_busy(window)
    enough = max(math.floor(most_busy / _BUSY_ENOUGH) + 1, math.ceil(workers / 2), rule.fewest)
    if enough >= workers or any(wait(one) > rule.wait / 2 or refuses(one) for one in window):
        return Step(0, "the load is what these workers are for")
    share = 100 * most_busy / enough
    reason = f"for {rule.down_after:g} s on end {enough} would have been {share:.0f} % busy or less"
    return Step(enough - workers, reason, "idle")


def _most_busy(window: Sequence[Sample]) -> float:
    seen = [busy(one) for one in window]
    length = min(_SMOOTHED_OVER, len(seen))
    return max(sum(seen[at : at + length]) / length for at in range(len(seen) - length + 1))


def _since(samples: Sequence[Sample], seconds: float) -> Sequence[Sample]:
    """The samples of the last seconds; none if they don't reach back so far."""
    begin = samples[-1].at - seconds
    if samples[0].at > begin:
        return ()
    return [sample for sample in samples if sample.at >= begin]


def wait(sample: Sample) -> float:
    """How long the last of the requests that wait will have waited, where that is longest.

    A worker with a single partition is left out: more workers would not take anything off it.
    """
    alone = len(sample.loads) == 1
    return max((_wait(load) for load in sample.loads if alone or load.partitions > 1), default=0.0)


def _wait(load: LoadReport) -> float:
    if not load.waiting:
        return 0.0
    return load.waiting * load.busy_s / load.answered if load.answered else load.oldest_s


def busy(sample: Sample) -> float:
    """How many workers would be busy all the time."""
    return sum(load.busy_s / load.over_s for load in sample.loads)


def refuses(sample: Sample) -> bool:
    """Whether requests are refused for want of time by workers that have none left."""
    answered, refused = sum(load.answered for load in sample.loads), sum(load.refused for load in sample.loads)
    return refused > _REFUSED_TOO_MANY * answered and busy(sample) > _NO_TIME_LEFT * len(sample.loads)
