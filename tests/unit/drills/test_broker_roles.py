"""Which broker a role means: by Kafka's answers, the same one for the same seed in whatever order they come."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from consumers.service import service
from drills.faults import asking, kafka_fault
from drills.faults.asking import broker_in_role
from drills.faults.controller import KillController
from drills.faults.injector import Aim
from drills.faults.kafka_fault import KafkaFault
from drills.faults.running_system import RunningSystem
from drills.targets import partition_of
from schemas.records import Scalar
from standfast.core import status
from standfast.core.errors import DrillRejected
from standfast.core.settings import KafkaSettings, Settings
from standfast.core.status import RoleStatus, SystemStatus

SETTINGS = Settings(kafka=KafkaSettings(topic_prefix="x."))
SYSTEM = RunningSystem(SETTINGS, service("search", SETTINGS))
LEADERS = {"x.search.requests": {0: (1, [1, 2, 3]), 1: (2, [2, 3]), 2: (3, [3])}, "x.search.results": {0: (3, [3, 1])}}


def answer(reverse: bool) -> Any:
    """Kafka's metadata: three brokers and two topics, in one order or the other."""
    topics = {
        name: SimpleNamespace(
            partitions={
                number: SimpleNamespace(leader=leader, isrs=isrs[::-1] if reverse else isrs)
                for number, (leader, isrs) in sorted(partitions.items(), reverse=reverse)
            }
        )
        for name, partitions in LEADERS.items()
    }
    return SimpleNamespace(brokers=dict.fromkeys(sorted((1, 2, 3), reverse=reverse)), topics=topics)


@pytest.fixture(params=[False, True])
def kafka(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "metadata_of", lambda _system: answer(request.param))
    monkeypatch.setattr(asking, "active_controller", lambda _system: 2)


def role(seed: int = 0, **target: Scalar) -> int:
    return broker_in_role(SYSTEM, Aim(target), random.Random(seed))


@pytest.mark.usefixtures("kafka")
def test_a_broker_is_found_by_its_role() -> None:
    assert role(broker=3) == 3
    assert role(partition=1) == 2
    assert role(partition=0, topic="search.results") == 3
    assert role(follower=1) == 3
    assert role(follower=0, topic="x.search.results") == 1
    assert role(controller=True) == 2


def test_the_same_seed_means_the_same_broker_in_whatever_order_kafka_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "active_controller", lambda _system: 2)
    picks = []
    for reverse in (False, True):
        monkeypatch.setattr(asking, "metadata_of", lambda _system, reverse=reverse: answer(reverse))
        picks.append([(role(seed), role(seed, follower=0)) for seed in range(20)])
    assert picks[0] == picks[1]
    assert {leader for leader, _ in picks[0]} == {1, 3}, "a leader that is not the controller"
    assert {follower for _, follower in picks[0]} == {2, 3}


def test_the_same_seed_means_the_same_partition_of_a_fault_on_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    picks = []
    for reverse in (False, True):
        monkeypatch.setattr(kafka_fault, "metadata_of", lambda _system, reverse=reverse: answer(reverse))
        picks.append([KafkaFault(SYSTEM, Aim(seed=seed)).partition() for seed in range(20)])
        assert KafkaFault(SYSTEM, Aim({"partition": 1})).partition() == 1
        assert KafkaFault(SYSTEM, Aim({"key": "u7"})).partition() == partition_of("u7", 3)
        with pytest.raises(DrillRejected, match="has no partition 3; it has 3, from 0"):
            KafkaFault(SYSTEM, Aim({"partition": 3})).partition()
    assert picks[0] == picks[1]
    assert set(picks[0]) == {0, 1, 2}


@pytest.mark.usefixtures("kafka")
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"broker": 9}, "there is no broker 9; there are: [1, 2, 3]"),
        ({"partition": 9}, "there is no partition 9; there are 3, from 0"),
        ({"topic": "profiles"}, "Kafka has no topic x.profiles"),
        ({"follower": 2}, "partition 2 has no follower in sync beside its leader, broker 3"),
    ],
)
def test_a_role_that_nobody_has_is_told(target: dict[str, Scalar], message: str) -> None:
    with pytest.raises(DrillRejected) as told:
        role(**target)
    assert message in str(told.value)


def test_a_fault_that_needs_three_brokers_is_rejected_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = SystemStatus(
        state="ready",
        at=0,
        supervisor_pid=1,
        bootstrap_servers="",
        metrics_url="",
        roles=[RoleStatus(id="kafka-1", pid=1, state="running")],
    )
    monkeypatch.setattr(status, "read", lambda: alone)
    with pytest.raises(DrillRejected, match="the fault controller shows something with 3 brokers or more, and this"):
        KillController(SYSTEM, Aim()).choose()
