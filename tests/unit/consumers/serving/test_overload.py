"""Overload on a simulated clock: how many requests are answered in time if several times too many come."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

import pytest

from consumers.requests.admission import Origin
from consumers.service import service
from consumers.serving.pace import Pace
from consumers.serving.selection import Limits, pick
from standfast.core.settings import Settings
from tests.support.origins import origin

_DEADLINE_S, _SECONDS = 1.0, 30.0
_WINDOW = 2_000  # records that wait in the consumer at most
_REFUSING_S = 50e-6  # assumed time to refuse a record


@dataclass
class SimulatedWorker:
    """A simulated worker: computes a batch while it commits the one before, as `consumers.serving.worker` does."""

    per_record_s: float
    commit_s: float
    noise: float
    stall_at: float = float("inf")

    def __post_init__(self) -> None:
        self._chance = random.Random(3)
        self._service = service("search", Settings())
        self._pace = Pace(self._service)
        self.in_time = 0

    @property
    def capacity(self) -> float:
        """Records per second if none is refused."""
        return self._service.batch / max(self._service.batch * self.per_record_s, self.commit_s)

    def serve(self, rate: float) -> float:
        """Answers in time per second, at `rate` requests per second."""
        now, committed_at, sent = 0.0, 0.0, 0
        waiting: deque[Origin] = deque()
        while now < _SECONDS:
            while sent < now * rate and len(waiting) < _WINDOW:
                waiting.append(origin(str(sent).encode(), position=(0, sent)))
                sent += 1
            if not waiting:
                now += 0.001
                continue
            most, ahead_ms = self._pace.next_batch(len(waiting), _DEADLINE_S * 1000)
            late = _Late(now + ahead_ms / 1000 - _DEADLINE_S, rate)
            picked = pick(waiting, Limits(most, 1 << 30), late)
            began, computed = now, len(picked.records) - picked.refused
            now += computed * self._about(self.per_record_s) + picked.refused * _REFUSING_S
            now = max(now, committed_at)
            committed_at = now + self._about(self.commit_s) + (2.0 if began < self.stall_at <= now else 0.0)
            self._pace.took(computed, now - began)
            if picked.reason != "drained":
                self._pace.answered(computed, committed_at - began)
            good = [record for record in picked.records if not late(record)]
            self.in_time += sum(committed_at <= int(record.value or b"0") / rate + _DEADLINE_S for record in good)
        return self.in_time / _SECONDS

    def _about(self, seconds: float) -> float:
        return seconds * self._chance.uniform(1 - self.noise, 1 + self.noise)


@dataclass
class _Late:
    """Whether a record was sent before the time `before`; its value is its number, sent at number / rate."""

    before: float
    rate: float

    def __call__(self, record: Origin) -> bool:
        return int(record.value or b"0") / self.rate < self.before


@pytest.mark.parametrize("noise", [0.1, 0.6])
@pytest.mark.parametrize("times", [1.5, 3])
@pytest.mark.parametrize("per_record_ms", [0.5, 3, 14, 25, 60])
def test_whatever_a_record_costs_a_flood_leaves_most_of_what_can_be_computed(
    per_record_ms: float, times: float, noise: float
) -> None:
    """At 14 ms per record a batch takes half its deadline: two in three were refused that could have been computed."""
    worker = SimulatedWorker(per_record_ms / 1000, 0.02, noise)
    assert worker.serve(times * worker.capacity) > 0.8 * worker.capacity


def test_one_stall_does_not_have_everything_refused_afterwards() -> None:
    """The pace is learnt from computed batches. After one stall it allowed no record, so none was computed again."""
    worker = SimulatedWorker(0.003, 0.02, 0.1, stall_at=5.0)
    assert worker.serve(1_000) > 0.75 * worker.capacity
