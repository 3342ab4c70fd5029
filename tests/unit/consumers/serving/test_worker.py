"""What a worker does with records during rebalances: each is answered once, by the owner of its partition."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumers.channel.messages import Done, LoadReport, Waiting
from consumers.commit.work import Replying, Work
from consumers.requests.admission import Origin
from consumers.requests.answers import Outgoing
from consumers.service import service
from consumers.serving import partition_reader as reader_module
from consumers.serving import worker as worker_module
from consumers.serving.batches import Batches
from consumers.serving.suspects import KnownSuspects
from consumers.serving.tally import Tally
from consumers.serving.worker import Worker
from standfast.core.errors import Fenced
from standfast.core.settings import Settings
from tests.support.origins import FakeMessage, origin
from tests.support.replying import NoReplies

TOPIC = "search.requests"
Step = Callable[[], Message | None]


class FakeConsumer:
    """A scripted consumer: each poll takes the next step. After the last step it stops the worker."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = deque(steps)
        self.paused: set[int] = set()
        self.at_end: Callable[[], None] = lambda: None
        self.closed = False
        self.generation = 0
        self.subscriptions = 0
        self.brokers = 1
        self.looked = 0
        self.assigned: list[int] = []
        self.asked: list[list[int]] = []
        self.member_id: str | None = "search-0-4711"
        self._callbacks: dict[str, Callable[..., None]] = {}

    def subscribe(self, _topics: list[str], **callbacks: Callable[..., None]) -> None:
        self.subscriptions += 1
        self._callbacks = callbacks

    def unsubscribe(self) -> None:
        """As in librdkafka: the next poll revokes the partitions and then leaves the group."""

        def leave() -> None:
            self.happens("on_revoke", *self.assigned)
            self.member_id = None

        self.steps.appendleft(leave)

    def memberid(self) -> str | None:
        return self.member_id

    def list_topics(self, _topic: str, timeout: float) -> SimpleNamespace:
        assert timeout > 0
        self.looked += 1
        return SimpleNamespace(brokers=dict.fromkeys(range(self.brokers)))

    def get_watermark_offsets(self, _place: TopicPartition, *, cached: bool) -> tuple[int, int]:
        assert cached
        return 0, 1000

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned += [partition.partition for partition in partitions]

    def offsets_for_times(self, partitions: list[TopicPartition], _timeout: float) -> None:
        self.asked.append([partition.partition for partition in partitions])

    def poll(self, _timeout: float) -> Message | None:
        if not self.steps:
            self.at_end()
            return None
        return self.steps.popleft()()

    def consume(self, _count: int, _timeout: float) -> list[Message]:
        return []

    def happens(self, what: str, *numbers: int, topic: str = TOPIC) -> None:
        self.generation += 1
        self._callbacks[what](self, [TopicPartition(topic, number) for number in numbers])

    def consumer_group_metadata(self) -> int:
        return self.generation

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {partition.partition for partition in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {partition.partition for partition in partitions}

    def position(self, _partitions: list[TopicPartition]) -> list[TopicPartition]:
        return []

    def close(self) -> None:
        self.closed = True


@dataclass
class SlowDelivery:
    """Delivers once `let` is set; `work` is what was delivered."""

    commits_offsets: bool = True
    replies: Replying = field(default_factory=NoReplies)
    work: list[Work] = field(default_factory=list)
    let: threading.Event = field(default_factory=threading.Event)
    takes: Callable[[Work], bool] = lambda _work: True

    def prepare(self, _offsets: Work) -> None:
        return

    def withdraw(self) -> None:
        return

    def deliver(self, work: Work) -> None:
        assert self.let.wait(60)
        if not self.takes(work):
            raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))
        self.work.append(work)

    def offsets(self) -> list[dict[int, int]]:
        return [{partition: at for (_, partition), at in work.offsets.items()} for work in self.work]


class EchoBatches:
    """Makes one answer for each record, without a model."""

    ahead_ms = 0.0

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, int, int]]] = []
        self.suspects = KnownSuspects()
        self.read: list[list[int]] = []

    def reading(self, records: Sequence[Origin]) -> None:
        self.read.append([record.offset for record in records])

    def late(self, _record: Origin) -> bool:
        return False

    def allowance_ms(self, _record: Origin) -> float | None:
        return None

    def tally(self, topic: str) -> Tally:
        return Tally(topic, "toy@1")

    def work(self, records: Sequence[Origin], _shed: int = 0) -> Work:
        self.batches.append([(record.topic, record.partition, record.offset) for record in records])
        outgoing = [Outgoing(record, "out", None, None, []) for record in records]
        offsets = {(record.topic, record.partition): record.offset + 1 for record in records}
        return Work(outgoing, offsets, [])

    waits = None

    def replacement(self, outgoing: Outgoing, _reason: str) -> Outgoing:
        return outgoing


def record(partition: int, offset: int) -> Step:
    """A step: the poll returns this record."""
    return lambda: cast(Message, FakeMessage(origin(b"small", position=(partition, offset))))


class WorkerStage:
    """A worker on a scripted consumer."""

    def __init__(self) -> None:
        self.consumer = FakeConsumer([])
        self.bulk = FakeConsumer([])
        self.batches = EchoBatches()
        self.delivery = SlowDelivery()
        self.assignments: list[dict[str, list[int]]] = []
        self.done: list[dict[int, int]] | None = None
        self.loads: list[LoadReport] = []
        self.waited: list[str] = []
        self.steps = 0
        self.worker = Worker(
            service("search", Settings()),
            cast(Consumer, self.consumer),
            lambda: cast(Consumer, self.bulk),
            self.delivery,
            cast(Batches, self.batches),
            self.tell,
            20.0,
        )
        self.left = False
        self.consumer.at_end = self.worker.stop

    def step(self) -> None:
        self.steps += 1

    def tell(self, what: dict[str, list[int]] | LoadReport | Waiting | Done) -> None:
        if isinstance(what, Waiting):
            self.waited.append(what.reason)
        elif isinstance(what, LoadReport):
            self.loads.append(what)
        elif isinstance(what, Done):
            self.done = self.delivery.offsets()
        else:
            self.assignments.append(what)

    def happens(self, what: str, *numbers: int) -> Step:
        """A step: partitions are assigned or revoked, and the poll returns no message."""
        return lambda: self.consumer.happens(what, *numbers)

    def also(self, what: str, *numbers: int, then: Step) -> Step:
        """A step: partitions are assigned or revoked, and the same poll returns a record."""

        def step() -> Message | None:
            self.consumer.happens(what, *numbers)
            return then()

        return step

    def deliver(self) -> None:
        """A step: Kafka takes the batch in hand, and the following ones at once."""
        self.delivery.let.set()

    def play(self, *steps: Step) -> list[dict[int, int]]:
        """Plays these steps; returns the offsets committed by each batch."""
        self.consumer.steps.extend(steps)
        self.left = self.worker.serve(self.step, lambda _: False)
        return self.delivery.offsets()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> WorkerStage:
    monkeypatch.setattr(worker_module, "_COMMIT_WAIT_S", 0.01)
    return WorkerStage()


def test_records_of_assigned_partitions_are_delivered_and_the_assignment_told(stage: WorkerStage) -> None:
    stage.deliver()
    assert stage.play(stage.happens("on_assign", 0, 1), record(0, 5), record(1, 7)) == [{0: 6}, {1: 8}]
    assert stage.assignments == [{TOPIC: [0, 1]}]


def test_a_successor_may_begin_when_all_is_committed(stage: WorkerStage) -> None:
    stage.deliver()
    stage.play(stage.happens("on_assign", 0), record(0, 5))
    assert stage.done == [{0: 6}]


def test_no_consumer_is_closed(stage: WorkerStage) -> None:
    """An assignment during librdkafka's close holds Python's lock for ever: the stop took its full 10 s."""
    stage.deliver()
    assert stage.play(stage.happens("on_assign", 0), record(0, 5)) == [{0: 6}]
    assert not stage.consumer.closed


def test_nobody_is_to_succeed_while_the_last_batch_is_not_committed(stage: WorkerStage) -> None:
    stage.worker._stop_within_s = 0.05
    stage.play(stage.happens("on_assign", 0), record(0, 5))
    stage.deliver()
    assert stage.done is None


def test_a_record_of_a_partition_assigned_while_polling_is_paused_is_not_lost(stage: WorkerStage) -> None:
    """Such a record was polled and dropped, and the next commit skipped it."""
    offsets = stage.play(
        stage.happens("on_assign", 0),
        record(0, 5),
        record(0, 6),
        stage.also("on_assign", 1, then=record(1, 70)),
        stage.deliver,
        record(1, 71),
    )
    assert next(offset[1] for offset in offsets if 1 in offset) in {71, 72}
    answered = [
        outgoing.origin.offset for work in stage.delivery.work for outgoing in work.outgoing if outgoing.source[1] == 1
    ]
    assert answered == [70, 71]
    assert stage.consumer.paused == set()


def test_what_is_lost_and_got_back_meanwhile_is_not_answered_twice(stage: WorkerStage) -> None:
    """The consumer reads the record again from the committed offset, so the batch computed before must be dropped."""
    stage.play(
        stage.happens("on_assign", 0, 1),
        record(0, 5),
        record(1, 9),
        stage.happens("on_lost", 1),
        stage.happens("on_assign", 1),
        stage.deliver,
        record(1, 9),
    )
    answered = [
        (outgoing.source[1], outgoing.origin.offset) for work in stage.delivery.work for outgoing in work.outgoing
    ]
    assert sorted(answered) == [(0, 5), (1, 9)]


def test_a_partition_lost_while_it_is_paused_is_read_again_when_it_comes_back(stage: WorkerStage) -> None:
    """In librdkafka a pause outlives the assignment: the partition stood still for ever."""
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


def test_a_revoke_waits_for_the_commit_in_hand(stage: WorkerStage) -> None:
    def revoke() -> None:
        threading.Timer(0.2, stage.deliver).start()
        stage.consumer.happens("on_revoke", 0)

    assert stage.play(stage.happens("on_assign", 0), record(0, 5), revoke) == [{0: 6}]
    assert stage.assignments == [{TOPIC: [0]}, {}]


def test_a_commit_in_hand_is_given_the_membership_of_the_rebalance_that_takes_its_partitions(
    stage: WorkerStage,
) -> None:
    """The commit was tried with the old membership until the deadline: the partitions stood still for 10 s."""
    stage.delivery.takes = lambda work: work.membership == stage.consumer.generation

    def revoke() -> None:
        threading.Timer(0.2, stage.deliver).start()
        stage.consumer.happens("on_revoke", 0)

    began = time.monotonic()
    assert stage.play(stage.happens("on_assign", 0, 1), record(0, 5), revoke) == [{0: 6}]
    assert time.monotonic() - began < stage.worker._stop_within_s


def test_a_worker_that_stops_keeps_its_place_for_a_successor(stage: WorkerStage) -> None:
    stage.deliver()
    stage.play(stage.happens("on_assign", 0, 1), record(0, 5))
    assert not stage.left
    assert stage.consumer.memberid() is not None


def test_a_worker_that_leaves_commits_what_it_has_and_gives_its_place_up(stage: WorkerStage) -> None:
    """A static member stays in the group after its consumer: its partitions stood still until the session timed out."""
    threading.Timer(0.2, stage.deliver).start()
    assert stage.play(stage.happens("on_assign", 0, 1), record(0, 5), stage.worker.leave) == [{0: 6}]
    assert stage.left
    assert stage.consumer.memberid() is None
    assert stage.assignments == [{TOPIC: [0, 1]}, {}]


def test_a_worker_that_cannot_leave_says_so(stage: WorkerStage) -> None:
    stage.deliver()
    stage.worker._stop_within_s = 0.05
    stage.consumer.unsubscribe = lambda: None  # type: ignore[method-assign]
    stage.play(stage.happens("on_assign", 0), record(0, 5), stage.worker.leave)
    assert not stage.left


def test_a_newcomer_that_is_given_nothing_yet_asks_again_at_once(
    stage: WorkerStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With librdkafka's own back-off its partitions belonged to no member for a second."""
    monkeypatch.setattr(reader_module, "_ASK_AGAIN_S", 0.0)
    stage.deliver()
    stage.play(stage.happens("on_assign"), stage.happens("on_assign"), stage.happens("on_assign", 1), record(1, 5))
    assert stage.consumer.subscriptions == 3
    assert stage.consumer.asked == []


def test_after_a_rebalance_what_is_kept_is_fetched_at_once(stage: WorkerStage) -> None:
    """Partitions that the worker kept were not fetched for up to a second."""
    stage.deliver()
    stage.play(
        stage.happens("on_assign", 0, 1), stage.happens("on_revoke", 1), stage.happens("on_assign"), record(0, 5)
    )
    assert stage.consumer.asked == [[0]]
    assert stage.consumer.subscriptions == 1


def test_the_load_is_told(stage: WorkerStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_REPORT_EVERY_S", 0.0)
    stage.worker._report_due = 0.0
    stage.deliver()
    stage.play(stage.happens("on_assign", 0, 1), record(0, 5), record(1, 6), lambda: None)
    assert sum(load.answered for load in stage.loads) == 2
    assert {load.partitions for load in stage.loads} == {2}
    assert all(0.0 <= load.busy_s <= load.over_s for load in stage.loads)
    assert {load.waiting for load in stage.loads} == {None}, "where the partitions end is not known"


def test_what_is_not_committed_before_a_revoke_ends_is_left_to_the_next_owner(stage: WorkerStage) -> None:
    stage.worker._stop_within_s = 0.05
    offsets = stage.play(stage.happens("on_assign", 0, 1), record(0, 5), stage.happens("on_revoke", 0), stage.deliver)
    assert offsets in ([], [{0: 6}]), "one try may have been under way; Kafka refuses it by its generation"


def test_a_commit_that_takes_long_is_given_the_present_membership(stage: WorkerStage) -> None:
    seen: list[Any] = []

    def renewed() -> None:
        seen.append(stage.consumer.generation)
        stage.deliver()

    stage.play(stage.happens("on_assign", 0), record(0, 5), record(0, 6), stage.happens("on_assign", 1), renewed)
    assert stage.delivery.work[-1].membership == stage.consumer.generation


def test_a_worker_that_waits_for_kafka_says_so_and_when_it_is_over(stage: WorkerStage) -> None:
    """The state was "serving" whatever the worker waited for."""
    stage.play(
        stage.happens("on_assign", 0), record(0, 5), record(0, 6), *[lambda: None] * 3, stage.deliver, record(0, 7)
    )
    assert stage.waited[-1] == ""
    assert all("for Kafka to take its last batch" in reason for reason in stage.waited if reason)
    assert any(stage.waited)


def test_large_records_are_named_before_they_are_copied(stage: WorkerStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that died copying a large record was replaced by one that died of it too, and no record was blamed."""
    monkeypatch.setattr(reader_module, "_MOST_BYTES", 20)
    stage.deliver()
    large = FakeMessage(origin(b"x" * 21, position=(0, 6)))
    stage.play(stage.happens("on_assign", 0), record(0, 5), lambda: cast(Message, large), record(0, 7))
    assert stage.batches.read == [[6], []]


def test_a_place_in_the_group_that_was_taken_ends_the_worker(stage: WorkerStage) -> None:
    class FencedMessage(FakeMessage):
        def error(self) -> KafkaError:
            return KafkaError(KafkaError.FENCED_INSTANCE_ID)

    with pytest.raises(Fenced):
        stage.play(lambda: cast(Message, FencedMessage(origin())))


BULK = TOPIC + ".bulk"


def bulk_record(partition: int, offset: int) -> Step:
    return lambda: cast(Message, FakeMessage(origin(position=(partition, offset), topic=BULK)))


def test_interactive_requests_pass_bulk_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_BULK_EVERY_S", 0.0)
    stage = WorkerStage()
    stage.deliver()
    stage.bulk.steps.extend(
        [lambda: stage.bulk.happens("on_assign", 0, topic=BULK), *(bulk_record(0, number) for number in range(4))]
    )
    monkeypatch.setattr(stage.worker, "_bulk_due", 0.0)
    stage.play(
        stage.happens("on_assign", 0), *[lambda: None] * 3, *(record(0, n) for n in range(3)), *[lambda: None] * 9
    )
    order = [record for batch in stage.batches.batches for record in batch]
    assert {topic for topic, *_ in order} == {TOPIC, BULK}
    assert [offset for topic, _, offset in order if topic == BULK] == [0, 1, 2, 3]
    assert [offset for topic, _, offset in order if topic == TOPIC] == [0, 1, 2]
    assert all(len({topic for topic, *_ in batch}) == 1 for batch in stage.batches.batches), "never in one batch"
    assert {TOPIC: [0], BULK: [0]} in stage.assignments


def test_bulk_requests_wait_while_interactive_ones_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = WorkerStage()
    stage.deliver()
    stage.worker._bulk_due = float("inf")
    stage.bulk.steps.append(lambda: pytest.fail("bulk requests were looked for"))
    stage.play(stage.happens("on_assign", 0), *(record(0, number) for number in range(50)))
    assert len(stage.batches.batches) == 50


def test_offsets_that_kafka_does_not_take_just_now_are_committed_later(stage: WorkerStage) -> None:
    """With at_least_once a refusal with REBALANCE_IN_PROGRESS ended the worker."""
    refusals = [KafkaException(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))] * 2
    committed: list[int] = []

    def commit(offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        if refusals:
            raise refusals.pop()
        committed.extend(offset.offset for offset in offsets)
        return offsets

    stage.consumer.commit = commit  # type: ignore[attr-defined]
    stage.delivery.commits_offsets = False
    stage.delivery.let.set()

    def settled() -> None:
        assert stage.worker._committer.idle(60)

    stage.play(stage.happens("on_assign", 0), record(0, 5), settled, settled, settled, record(0, 6), settled)
    assert committed == [6, 7]


def test_with_nothing_to_read_new_leaders_are_looked_for_where_there_are_several_brokers(stage: WorkerStage) -> None:
    stage.consumer.brokers = 3
    stage.play(*[lambda: None] * 3)
    assert stage.consumer.looked >= 3


def test_a_single_broker_is_asked_for_others_once(stage: WorkerStage) -> None:
    stage.play(*[lambda: None] * 3)
    assert stage.consumer.looked == 1
