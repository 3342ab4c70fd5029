"""The number of workers follows an order by hand, or the load; while the load is not known it does not change."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from consumers.channel.messages import LoadReport
from consumers.service import service
from consumers.supervision import orders, scaler
from consumers.supervision.replica_set import ReplicaSet
from consumers.supervision.scaler import Scaler
from consumers.supervision.topic_watch import TopicWatch
from standfast.core.services.search import SearchSettings
from standfast.core.settings import ScalingSettings, Settings

pytestmark = pytest.mark.usefixtures("state")


def flooded(waiting: int | None = 5000) -> LoadReport:
    return LoadReport(partitions=3, waiting=waiting, oldest_s=3.0, answered=100, refused=0, busy_s=1.0, over_s=1.0)


class FakeReplicaSet:
    """A replica set that only records the numbers of workers it is scaled to."""

    def __init__(self, workers: int) -> None:
        self.service = service("search", Settings(search=SearchSettings(workers=workers)))
        self.partitions = 6
        self.settled, self.is_renewing = True, False
        self.reports: list[LoadReport] = []
        self.scaled: list[int] = []

    @property
    def serving(self) -> int:
        return self.service.workers

    @property
    def members(self) -> FakeReplicaSet:
        return self

    def loads(self, since: float) -> list[LoadReport]:  # noqa: ARG002
        return self.reports

    def scale(self, workers: int) -> None:
        self.scaled.append(workers)


class FakeWatch:
    """A topic watch with six partitions, and no problem unless a test sets one."""

    def __init__(self) -> None:
        self.problem, self.partitions = "", 6

    def ask(self) -> None:
        return


class Clock:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class ScalerStage:
    """A scaler with two flooded workers, one second between two looks, and the service settings `own`."""

    def __init__(self, clock: Clock, **own: object) -> None:
        self.clock = clock
        self.replicas = FakeReplicaSet(2)
        self.replicas.reports = [flooded(), flooded()]
        self.watch = FakeWatch()
        self.scaler = Scaler(
            cast(ReplicaSet, self.replicas),
            SearchSettings(**{"workers": "auto", "max_workers": 5, **own}),  # type: ignore[arg-type]
            ScalingSettings(up_after_s=3, cooldown_s=10),
            cast(TopicWatch, self.watch),
        )
        clock.now += 60

    def look(self, times: int = 1) -> list[int]:
        for _ in range(times):
            self.clock.now += 1
            self.scaler.obey()
            self.scaler.look()
        return self.replicas.scaled


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(scaler, "time", clock)
    return clock


def test_a_backlog_that_lasts_is_answered_with_more_workers_and_the_reason_is_told(clock: Clock) -> None:
    stage = ScalerStage(clock)
    assert stage.look(3) == []
    assert stage.look() == [4]
    assert "the backlog would have taken" in stage.scaler.status().reason
    assert stage.scaler.status().auto


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (lambda stage: setattr(stage.watch, "problem", "Kafka says nothing"), "Kafka says nothing"),
        (lambda stage: setattr(stage.replicas, "settled", False), "started or replaced"),
        (lambda stage: setattr(stage.replicas, "is_renewing", True), "a new model"),
        (lambda stage: stage.replicas.reports.pop(), "1 workers have not said"),
        (lambda stage: stage.replicas.reports.append(flooded(waiting=None)), "where each partition ends"),
    ],
)
def test_while_something_is_not_known_nothing_changes(clock: Clock, trouble: object, reason: str) -> None:
    stage = ScalerStage(clock)
    trouble(stage)  # type: ignore[operator]
    assert stage.look(100) == []
    assert reason in stage.scaler.status().reason


def test_what_was_seen_before_a_gap_does_not_count_after_it(clock: Clock) -> None:
    stage = ScalerStage(clock)
    stage.look(3)
    stage.watch.problem = "Kafka says nothing"
    stage.look()
    stage.watch.problem = ""
    assert stage.look(3) == []
    assert stage.look(2) == [4]


def test_an_order_by_hand_wins_over_load_and_settings_until_it_is_taken_back(clock: Clock) -> None:
    stage = ScalerStage(clock)
    orders.give("search", 3)
    assert stage.look() == [3]
    assert not stage.scaler.status().auto
    orders.give("search", 2)
    assert stage.look(50) == [3], "there are two, whatever the load"
    orders.give("search", "auto")
    assert stage.look(10) == [3, 4]
    orders.forget("search")
    assert stage.scaler.status().auto


def test_what_is_no_order_is_none_and_does_not_lie_there_in_silence() -> None:
    orders.give("search", 3)
    assert orders.given("search") == 3
    for text in ("", "0", "many", "-1"):
        orders._file("search").write_text(text)
        assert orders.given("search") is None
        assert orders._file("search").exists() == (not text), "moved aside, unless somebody is writing it"


@pytest.mark.parametrize(("most", "partitions", "allowed"), [(5, 6, 5), (50, 6, 6), (5, 3, 3)])
def test_there_are_never_more_workers_than_partitions(clock: Clock, most: int, partitions: int, allowed: int) -> None:
    stage = ScalerStage(clock, max_workers=most)
    stage.watch.partitions = partitions
    assert stage.scaler.status().most == allowed


def test_the_wait_that_is_aimed_at_is_half_of_the_longest_allowed(clock: Clock) -> None:
    assert ScalerStage(clock, max_wait_ms=300).scaler._rule().wait == 0.15
    assert ScalerStage(clock, max_wait_ms=9000).scaler._rule().wait == 1.0
    assert ScalerStage(clock).scaler._rule().wait == 1.0


def test_a_state_folder_knows_no_orders_at_first(state: Path) -> None:
    assert orders.given("search") is None
    assert (state / "run" / "orders").is_dir()
