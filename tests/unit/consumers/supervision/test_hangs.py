"""When a worker counts as one that hangs: its process may live, tick and compute, and its loop still make no step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from consumers.channel.heartbeat import HeartbeatReading
from consumers.supervision.hangs import _hangs
from consumers.supervision.member import Member
from consumers.supervision.member_state import MemberState
from standfast.core.settings import WorkerSettings


@dataclass
class Steps:
    age_s: float | None


class WatchedMember(MemberState):
    """A worker as the watch sees it, which serves."""

    def __init__(self, *, computing_s: float | None = None, step_s: float | None = 0.0, tick_s: float = 0.0) -> None:
        super().__init__("slot-0", "model")
        self.identity, self.state = "search-0", "serving"
        self.heartbeat: Any = self
        self.steps = Steps(step_s)
        self._reading = HeartbeatReading(tick_s, computing_s, ())

    def read(self) -> HeartbeatReading:
        return self._reading

    def is_stopped(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (WatchedMember(), None),
        (WatchedMember(step_s=29), None),
        (WatchedMember(step_s=31), "its loop has made no step for 31 s"),
        (WatchedMember(step_s=None), None),
        (WatchedMember(step_s=31, computing_s=29), None),
        (WatchedMember(computing_s=31), "a batch has been computed for 31 s"),
        (WatchedMember(step_s=31, tick_s=6), "no tick for 6.0 s"),
    ],
    ids=["all well", "slow", "no step", "not begun", "computes", "computes for long", "no tick"],
)
def test_a_worker_hangs_if_its_loop_makes_no_step(member: WatchedMember, reason: str | None) -> None:
    assert _hangs(cast(Member, member), WorkerSettings()) == reason


def test_a_worker_that_is_to_end_is_not_judged_by_its_loop() -> None:
    """It may wait for its last commit, and then for the group, for `stop_within_s` each."""
    member = WatchedMember(step_s=31)
    member.drain(40)
    assert _hangs(cast(Member, member), WorkerSettings()) is None
