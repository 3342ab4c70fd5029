"""What a worker does with records while partitions come and go: each is answered once, by whoever has its partition."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from consumers import worker as worker_module
from consumers.answers import Outgoing
from consumers.batches import Batches
from consumers.service import service
from consumers.suspects import Suspects
from consumers.transactions import Work
from consumers.worker import Worker
from standfast.errors import Fenced
from standfast.settings import Settings
from tests.support.origins import FakeMessage, origin

TOPIC = "search.requests"
Step = Callable[[], Message | None]


class FakeConsumer:
    """Plays a script: each poll takes the next step. When it is over the worker is told to stop."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = deque(steps)
        self.paused: set[int] = set()
        self.at_end: Callable[[], None] = lambda: None
        self.closed = False
        self.generation = 0
        self._callbacks: dict[str, Callable[..., None]] = {}

    def subscribe(self, _topics: list[str], **callbacks: Callable[..., None]) -> None:
        self._callbacks = callbacks

    def poll(self, _timeout: float) -> Message | None:
        if not self.steps:
            self.at_end()
            return None
        return self.steps.popleft()()

    def consume(self, _count: int, _timeout: float) -> list[Message]:
        return []

    def happens(self, what: str, *numbers: int) -> None:
        self.generation += 1
        self._callbacks[what](self, [TopicPartition(TOPIC, number) for number in numbers])

    def consumer_group_metadata(self) -> int:
        return self.generation

    def pause(self, places: list[TopicPartition]) -> None:
        self.paused |= {one.partition for one in places}

    def resume(self, places: list[TopicPartition]) -> None:
        self.paused -= {one.partition for one in places}

    def position(self, _places: list[TopicPartition]) -> list[TopicPartition]:
        return []

    def close(self) -> None:
        self.closed = True


@dataclass
class SlowDelivery:
    """Delivers when it is let; `work` is what was delivered."""

    commits_offsets: bool = True
    work: list[Work] = field(default_factory=list)
    let: threading.Event = field(default_factory=threading.Event)

    def deliver(self, work: Work) -> None:
        assert self.let.wait(60)
        self.work.append(work)

    def offsets(self) -> list[dict[int, int]]:
        return [{partition: at for (_, partition), at in one.offsets.items()} for one in self.work]


class EchoBatches:
    """Owes one answer for each record, without a model."""

    labels = (TOPIC, "toy", "1")
    suspects: dict[tuple[int, int], int]

    def work(self, messages: Sequence[Message]) -> Work:
        outgoing = [Outgoing(one.at, "out", None, None, []) for one in cast(list[FakeMessage], messages)]
        offsets = {(one.topic(), one.partition()): one.offset() + 1 for one in messages}
        return Work(outgoing, offsets, [])

    def instead(self, one: Outgoing, _reason: str) -> Outgoing:
        return one


def record(partition: int, offset: int) -> Step:
    """A step: the poll returns this record."""
    return lambda: cast(Message, FakeMessage(origin(place=(partition, offset))))


class Stage:
    """A worker on a scripted consumer."""

    def __init__(self, folder: Path) -> None:
        self.consumer = FakeConsumer([])
        self.delivery = SlowDelivery()
        self.told: list[dict[str, list[int]]] = []
        self.worker = Worker(
            service("search", Settings()),
            cast(Consumer, self.consumer),
            self.delivery,
            cast(Batches, EchoBatches()),
            Suspects(folder / "suspects.json"),
            self.told.append,
            20.0,
        )
        self.consumer.at_end = self.worker.stop

    def happens(self, what: str, *numbers: int) -> Step:
        """A step: partitions come or go, and the poll returns nothing."""
        return lambda: self.consumer.happens(what, *numbers)

    def also(self, what: str, *numbers: int, then: Step) -> Step:
        """A step: partitions come or go, and the very same poll returns a record."""

        def step() -> Message | None:
            self.consumer.happens(what, *numbers)
            return then()

        return step

    def deliver(self) -> None:
        """A step: Kafka, slow until now, takes what it is given."""
        self.delivery.let.set()

    def play(self, *steps: Step) -> list[dict[int, int]]:
        """The offsets committed, batch by batch."""
        self.consumer.steps.extend(steps)
        self.worker.serve()
        assert self.consumer.closed
        return self.delivery.offsets()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(worker_module, "_COMMIT_WAIT_S", 0.01)
    return Stage(tmp_path)


def test_records_of_assigned_partitions_are_delivered_and_the_assignment_told(stage: Stage) -> None:
    stage.deliver()
    assert stage.play(stage.happens("on_assign", 0, 1), record(0, 5), record(1, 7)) == [{0: 6}, {1: 8}]
    assert stage.told == [{TOPIC: [0, 1]}]


def test_a_record_of_a_partition_assigned_while_polling_is_paused_is_not_lost(stage: Stage) -> None:
    """It was polled, dropped, and the next commit passed it."""
    offsets = stage.play(
        stage.happens("on_assign", 0),
        record(0, 5),
        record(0, 6),
        stage.also("on_assign", 1, then=record(1, 70)),
        stage.deliver,
        record(1, 71),
    )
    assert next(one[1] for one in offsets if 1 in one) in {71, 72}
    answered = [one.origin.offset for work in stage.delivery.work for one in work.outgoing if one.source[1] == 1]
    assert answered == [70, 71]
    assert stage.consumer.paused == set()


def test_what_is_lost_and_got_back_meanwhile_is_not_answered_twice(stage: Stage) -> None:
    """The consumer reads it again from the committed offset: the batch that was computed before must be dropped."""
    stage.play(
        stage.happens("on_assign", 0, 1),
        record(0, 5),
        record(1, 9),
        stage.happens("on_lost", 1),
        stage.happens("on_assign", 1),
        stage.deliver,
        record(1, 9),
    )
    answered = [(one.source[1], one.origin.offset) for work in stage.delivery.work for one in work.outgoing]
    assert sorted(answered) == [(0, 5), (1, 9)]


def test_a_partition_lost_while_it_is_paused_is_read_again_when_it_comes_back(stage: Stage) -> None:
    """A pause outlives the assignment in librdkafka: the partition stood still for ever."""
    stage.play(
        stage.happens("on_assign", 0, 1),
        record(0, 5),
        record(0, 6),
        stage.happens("on_lost", 1),
        stage.deliver,
        stage.happens("on_assign", 1),
        record(1, 7),
    )
    assert stage.consumer.paused == set()


def test_a_revoke_waits_for_the_commit_in_hand(stage: Stage) -> None:
    def revoke() -> None:
        threading.Timer(0.2, stage.deliver).start()
        stage.consumer.happens("on_revoke", 0)

    assert stage.play(stage.happens("on_assign", 0), record(0, 5), revoke) == [{0: 6}]
    assert stage.told == [{TOPIC: [0]}, {}]


def test_what_is_not_committed_before_a_revoke_ends_is_left_to_the_next_owner(stage: Stage) -> None:
    stage.worker._stop_within_s = 0.05
    offsets = stage.play(stage.happens("on_assign", 0, 1), record(0, 5), stage.happens("on_revoke", 0), stage.deliver)
    assert offsets in ([], [{0: 6}]), "one attempt was under way already; Kafka refuses it by its generation"


def test_a_commit_that_takes_long_is_given_the_present_membership(stage: Stage) -> None:
    seen: list[Any] = []

    def renewed() -> None:
        seen.append(stage.consumer.generation)
        stage.deliver()

    stage.play(stage.happens("on_assign", 0), record(0, 5), record(0, 6), stage.happens("on_assign", 1), renewed)
    assert stage.delivery.work[-1].membership == stage.consumer.generation


def test_a_place_in_the_group_that_was_taken_ends_the_worker(stage: Stage) -> None:
    class Broken(FakeMessage):
        def error(self) -> KafkaError:
            return KafkaError(KafkaError.FENCED_INSTANCE_ID)

    with pytest.raises(Fenced):
        stage.play(lambda: cast(Message, Broken(origin())))
