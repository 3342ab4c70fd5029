"""The supervisor may report its status often: few records are written, the last one wins, and no call blocks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException

from standfast import status_topic
from standfast.core.settings import KafkaSettings, Settings
from standfast.core.status import SystemStatus
from standfast.status_topic import StatusTopic
from tests.waiting import wait_until

OnDelivery = Callable[[KafkaError | None, object], None]


class PaperProducer:
    """Acknowledges records with `error` while `taking` is set; with `refuses_at_once`, produce raises."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes | None, bytes]] = []
        self.taking = threading.Event()
        self.taking.set()
        self.error: KafkaError | None = None
        self.refuses_at_once = False
        self._waiting: list[OnDelivery] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def produce(self, topic: str, value: bytes | None, key: bytes, *, on_delivery: OnDelivery) -> None:
        if self.refuses_at_once:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC))
        self.records.append((topic, value, key))
        self._waiting.append(on_delivery)

    def poll(self, timeout: float) -> int:
        if self.taking.wait(timeout):
            reports, self._waiting = self._waiting, []
            for on_delivery in reports:
                on_delivery(self.error, None)
            return len(reports)
        return 0

    def last(self) -> SystemStatus:
        value = self.records[-1][1]
        assert value is not None
        return msgspec.json.decode(value, type=SystemStatus)


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> PaperProducer:
    made = PaperProducer()
    monkeypatch.setattr(status_topic, "Producer", lambda _config: made)
    return made


@pytest.fixture
def topic(producer: PaperProducer) -> Iterator[StatusTopic]:
    made = StatusTopic(Settings(kafka=KafkaSettings(topic_prefix="shop.")), "a-12345678")
    made.start()
    yield made
    producer.taking.set()
    made.close(10)
    assert not made._thread.is_alive()


def status_at(number: int) -> SystemStatus:
    return SystemStatus(
        state="ready", at=number, supervisor_pid=1, bootstrap_servers="", metrics_url="", host="a-12345678"
    )


def test_of_a_thousand_words_in_a_row_the_last_is_written(topic: StatusTopic, producer: PaperProducer) -> None:
    for number in range(1000):
        topic.publish(status_at(number))
    wait_until(lambda: producer.records and producer.last().at == 999, what="the last word")
    assert len(producer.records) <= 3
    assert producer.records[-1][0] == "shop.status"
    assert producer.records[-1][2] == b"a-12345678"


def test_nothing_is_written_that_nobody_said(topic: StatusTopic, producer: PaperProducer) -> None:
    """A hanging supervisor must be silent: if its last status were written again, it would look alive."""
    topic.publish(status_at(1))
    wait_until(lambda: len(producer.records) == 1)
    threading.Event().wait(10 * status_topic._GATHERED_S)
    assert len(producer.records) == 1


def test_while_kafka_does_not_take_a_record_no_other_is_queued(topic: StatusTopic, producer: PaperProducer) -> None:
    producer.taking.clear()
    topic.publish(status_at(1))
    wait_until(lambda: len(producer.records) == 1)
    for number in range(2, 1000):
        topic.publish(status_at(number))
    threading.Event().wait(3 * status_topic._GATHERED_S)
    assert len(producer.records) == 1
    producer.taking.set()
    wait_until(lambda: producer.last().at == 999, what="the last word")
    assert len(producer.records) == 2


@pytest.mark.parametrize("at_once", [False, True])
def test_a_refused_record_is_dropped_and_the_next_one_written(
    topic: StatusTopic, producer: PaperProducer, at_once: bool
) -> None:
    producer.error, producer.refuses_at_once = KafkaError(KafkaError._MSG_TIMED_OUT), at_once
    topic.publish(status_at(1))
    wait_until(lambda: topic._trouble, what="a refusal that is known")
    producer.error, producer.refuses_at_once = None, False
    topic.publish(status_at(2))
    wait_until(lambda: producer.records and producer.last().at == 2, what="the next word")
    wait_until(lambda: not topic._trouble, what="a trouble that is over")


def test_the_last_record_is_a_tombstone(topic: StatusTopic, producer: PaperProducer) -> None:
    topic.publish(status_at(1))
    topic.close(10)
    assert producer.records[-1] == ("shop.status", None, b"a-12345678")
    topic.publish(status_at(2))
    threading.Event().wait(3 * status_topic._GATHERED_S)
    assert producer.records[-1][1] is None, "a host that has left does not come back"


def test_the_end_does_not_wait_for_a_kafka_that_is_away(topic: StatusTopic, producer: PaperProducer) -> None:
    producer.taking.clear()
    topic.publish(status_at(1))
    wait_until(lambda: len(producer.records) == 1)
    topic.close(0.2)
    assert topic._thread.is_alive(), "it was left behind"
