"""Answers to reply topics: acknowledged, or replaced in time; a silent topic delays other answers only briefly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from hypothesis import given
from hypothesis import strategies as st

from consumers.commit import replies as replies_module
from consumers.commit.partition_counts import PartitionCounts
from consumers.commit.replies import Allowance, Replies
from consumers.commit.work import Work
from consumers.requests.answers import Answers, Outgoing
from consumers.service import service
from schemas.codec import Codec
from standfast.core.settings import Settings
from tests.support.origins import origin

TOPIC = "search.requests"
OURS, DEAD = "search.results", "search.requests.dlq"
Says = KafkaError | Exception | None


class FakeProducer:
    """Reports a topic's answer at the next poll; for a topic in `silent` only after `hears`."""

    def __init__(self) -> None:
        self.says: dict[str, Says] = {}
        self.silent: set[str] = set()
        self.sent: list[tuple[str, int]] = []
        self.held: dict[str, list[Callable[[KafkaError | None], None]]] = {}
        self._reports: list[Callable[[], None]] = []

    def produce(self, topic: str, _value: Any, _key: Any, partition: int, *, headers: Any, on_delivery: Any) -> None:
        assert headers == []
        answer = self.says.get(topic)
        if isinstance(answer, Exception):
            raise answer
        self.sent.append((topic, partition))
        if topic in self.silent:
            self.held.setdefault(topic, []).append(lambda error: on_delivery(error, None))
        else:
            self._reports.append(lambda: on_delivery(answer, None))

    def poll(self, timeout: float) -> int:
        if not self._reports:
            time.sleep(timeout)
        while self._reports:
            self._reports.pop(0)()
        return 0

    def hears(self, topic: str, error: KafkaError | None = None) -> None:
        """Has the next poll report what was held back."""
        for report in self.held.pop(topic, []):
            self._reports.append(lambda report=report: report(error))  # type: ignore[misc]


class FakePartitionCounts:
    """Numbers of partitions by topic; None: Kafka has not answered yet."""

    def __init__(self) -> None:
        self.counts: dict[str, int | None] = {"theirs": 3, "other": 1, "missing": 0, "unknown": None}
        self.waited_for: list[set[str]] = []

    def __call__(self, topic: str) -> int | None:
        return self.counts[topic]

    def wait(self, topics: set[str], _within_s: float) -> None:
        self.waited_for.append(set(topics))


class ReplyStage:
    def __init__(self) -> None:
        self.producer = FakeProducer()
        self.counts = FakePartitionCounts()
        counts = cast(PartitionCounts, self.counts)
        answers = Answers(service("search", Settings()), Codec(), "search-0", "toy@1", counts)
        self.replies = Replies(lambda: cast(Producer, self.producer), counts, answers)

    def deliver(self, *outgoing: Outgoing) -> list[tuple[str, int]]:
        """Topic and offset of each record that is left for the transaction."""
        work = self.replies.deliver(Work(outgoing, {(TOPIC, 0): 100}, []))
        assert work.offsets == {(TOPIC, 0): 100}
        return [(outgoing.topic, outgoing.origin.offset) for outgoing in work.outgoing]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> ReplyStage:
    monkeypatch.setattr(replies_module, "_FIRST_S", 0.02)
    return ReplyStage()


def ours(offset: int) -> Outgoing:
    return Outgoing(origin(position=(0, offset)), OURS, b"k", b"v", [])


def named(offset: int, topic: str = "theirs", partition: int = -1) -> Outgoing:
    return Outgoing(origin(position=(0, offset)), topic, b"k", b"v", [], partition, to_named=True)


def test_what_is_acknowledged_is_taken_out_and_the_rest_keeps_its_order(stage: ReplyStage) -> None:
    assert stage.deliver(ours(1), named(2), ours(3), named(4, partition=2)) == [(OURS, 1), (OURS, 3)]
    assert stage.producer.sent == [("theirs", -1), ("theirs", 2)]


def test_without_named_topics_nothing_is_asked_or_made(stage: ReplyStage) -> None:
    assert stage.deliver(ours(1)) == [(OURS, 1)]
    assert stage.counts.waited_for == []
    assert stage.replies._made is None


def test_a_partition_that_the_topic_turns_out_not_to_have_is_left_to_the_key(stage: ReplyStage) -> None:
    stage.deliver(named(1, partition=3))
    assert stage.producer.sent == [("theirs", -1)]


def test_a_topic_that_turns_out_not_to_exist_costs_nothing_and_the_answer_goes_to_ours(stage: ReplyStage) -> None:
    assert stage.deliver(named(1, "missing")) == [(OURS, 1)]
    assert stage.producer.sent == []


def test_a_topic_of_which_kafka_says_nothing_is_not_written_to(stage: ReplyStage) -> None:
    assert stage.deliver(named(1, "unknown")) == [(OURS, 1), (DEAD, 1)]
    assert stage.producer.sent == []


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN,
        KafkaError._UNKNOWN_TOPIC,
    ],
)
def test_whatever_a_topic_refuses_is_replaced_at_once_and_the_others_are_not(stage: ReplyStage, code: int) -> None:
    """Errors were listed one by one, and an error that was not listed blocked the partition for ever."""
    stage.producer.says["other"] = KafkaError(code)
    for offset in range(3):
        assert stage.deliver(named(offset, "other"), named(offset), ours(offset)) == [
            (OURS, offset),
            (DEAD, offset),
            (OURS, offset),
        ]
    assert len(stage.producer.sent) == 6, "a refusal is about one record: the next is tried"


@pytest.mark.parametrize("error", [BufferError(), KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))])
def test_what_the_client_itself_refuses_is_replaced_too(stage: ReplyStage, error: Exception) -> None:
    stage.producer.says["theirs"] = error
    assert stage.deliver(named(1)) == [(OURS, 1), (DEAD, 1)]


def test_a_silent_topic_is_waited_for_once(stage: ReplyStage) -> None:
    stage.producer.silent.add("theirs")
    assert stage.deliver(named(1), named(2, "other"), ours(3)) == [(OURS, 1), (DEAD, 1), (OURS, 3)]
    stage.replies._allowance._saved = 60.0
    began = time.monotonic()
    for offset in range(200):
        assert stage.deliver(named(offset)) == [(OURS, offset), (DEAD, offset)]
    assert time.monotonic() - began < 30
    assert stage.producer.sent.count(("theirs", -1)) == replies_module._PROBES, "they do not pile up"


@pytest.mark.parametrize("error", [None, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)])
def test_a_topic_that_speaks_again_is_waited_for_again(stage: ReplyStage, error: KafkaError | None) -> None:
    stage.producer.silent.add("theirs")
    stage.deliver(named(1))
    stage.producer.silent.clear()
    stage.producer.hears("theirs", error)
    stage.deliver(named(2, "other"))
    assert stage.deliver(named(3)) == []


def test_a_topic_whose_answers_expire_stays_silent_and_is_tried_on(stage: ReplyStage) -> None:
    stage.producer.silent.add("theirs")
    for offset in range(40):
        stage.deliver(named(offset))
    stage.producer.hears("theirs", KafkaError(KafkaError._MSG_TIMED_OUT))
    stage.deliver(named(50, "other"))
    assert stage.deliver(named(51)) == [(OURS, 51), (DEAD, 51)]
    assert len(stage.producer.held["theirs"]) == 1


def test_one_partition_that_is_silent_says_nothing_of_the_others(stage: ReplyStage) -> None:
    stage.producer.silent.add("theirs")
    stage.deliver(named(1, partition=0))
    stage.producer.silent.clear()
    assert stage.deliver(named(2, partition=1)) == []


def test_many_names_are_not_remembered_for_ever(stage: ReplyStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies_module, "_TARGETS", 10)
    for number in range(50):
        stage.counts.counts[f"t{number}"] = 1
        stage.deliver(named(number, f"t{number}"))
    assert len(stage.replies._targets) == 10


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=60))
def test_waits_in_vain_take_a_twentieth_of_the_time_and_a_little(waits: list[tuple[float, bool]]) -> None:
    """Each wait: the seconds until the next batch, and whether its topics are silent."""
    now = [0.0]
    allowance = Allowance(lambda: now[0])
    in_vain = least = 0.0
    for pause, silent in waits:
        now[0] += pause
        seconds = allowance.seconds
        assert replies_module._LEAST_S <= seconds <= replies_module._WAIT_S
        if silent:
            now[0] += seconds
            allowance.spend(seconds)
            in_vain += seconds
            least += replies_module._LEAST_S
    assert in_vain <= replies_module._FIRST_S + replies_module._SHARE * now[0] + least + 1e-6
