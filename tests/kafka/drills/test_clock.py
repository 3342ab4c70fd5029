"""A caller whose clock is wrong: what it sends is seen in Kafka, and so is what became of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from consumers.service import service
from drills.faults import FAULTS
from drills.faults.injector import Injector
from drills.faults.running_system import RunningSystem
from schemas.codec import Codec, Encoding
from schemas.records import Result
from standfast.core import clients, status
from standfast.core.settings import KafkaSettings, Settings
from standfast.core.status import SystemStatus, WorkerStatus
from tests.waiting import wait_until


@pytest.fixture
def system(broker: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSystem]:
    """A system with two topics and a status, and without workers: the test answers."""
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{uuid.uuid4().hex}."))
    made = RunningSystem(settings, service("search", settings))
    admin = AdminClient({"bootstrap.servers": broker})
    topics = [NewTopic(topic, 2, 1) for topic in (made.service.requests, made.service.results)]
    for created in admin.create_topics(topics).values():
        created.result(30)
    names = {topic.topic for topic in topics}
    wait_until(lambda: names <= admin.list_topics(timeout=10).topics.keys(), what="topics that the broker knows")
    worker = WorkerStatus(
        id="search-0",
        pid=1,
        service="search",
        group=made.service.group,
        role="active",
        state="serving",
        partitions={made.service.requests: [0, 1]},
    )
    running = SystemStatus(
        state="ready", at=0, supervisor_pid=1, bootstrap_servers=broker, metrics_url="", workers=[worker]
    )
    monkeypatch.setattr(status, "read", lambda: running)
    yield made
    admin.delete_topics([topic.topic for topic in topics])


def fault(system: RunningSystem, skew_s: float = -120.0) -> Injector:
    kind = FAULTS["clock"]
    return kind.make(system, kind.aim(params={"skew_s": skew_s, "requests": 6}))


def answer(system: RunningSystem, latency_ms: float = 5.0, but: int = 0) -> int:
    """Answers all requests but some; returns how many there were."""
    consumer = Consumer(clients.answers(system.settings, "test"))
    consumer.assign([TopicPartition(system.service.requests, number, 0) for number in (0, 1)])
    keys: list[bytes] = []

    def are_read() -> bool:
        keys.extend(message.key() or b"" for message in consumer.consume(100, 0.2))
        return len(keys) == 6

    wait_until(are_read, what="the requests")
    consumer.close()
    producer = Producer({"bootstrap.servers": system.settings.kafka.bootstrap_servers})
    for key in keys[but:]:
        result = Result(request_id=key.decode(), status="ok", latency_ms=latency_ms, model="m", worker="w")
        producer.produce(system.service.results, Codec().encode(result, Encoding.JSON))
    producer.flush(10)
    return len(keys)


def checked(injector: Injector, wanted: str) -> str:
    """The text of the check of the undo, once it is known."""
    found = wait_until(lambda: None if (seen := injector.undone()).check == "unknown" else seen, what="what was sent")
    assert found is not None
    assert found.check == wanted, found
    return found.text


@pytest.mark.parametrize("skew_s", [-120.0, 120.0])
def test_requests_with_a_wrong_time_are_sent_and_undone_when_all_are_answered(
    system: RunningSystem, skew_s: float
) -> None:
    with closing(fault(system, skew_s)) as made:
        target = made.choose()
        assert target.partitions == (0, 1)
        struck = made.inject()
        injected = made.injected(20)
        assert injected.check == "passed", injected
        assert f"{skew_s:+.0f} s from now" in injected.text or f"{skew_s - 1:+.0f} s" in injected.text
        assert struck.at <= time.monotonic()
        assert "6 of 6 requests of the skewed caller have no answer" in checked(made, "failed")
        answer(system)
        wait_until(lambda: made.undone().check == "passed", what="all answers")
        assert checked(made, "passed").endswith("{'ok': 6}")


def test_records_with_the_right_time_are_no_fault(system: RunningSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(fault(system)) as made:
        made.choose()
        monkeypatch.setattr(made, "_skew_ms", 0)
        made.inject()
        monkeypatch.undo()
        assert made.injected(20).check == "failed"


def test_an_answer_that_is_missing_or_impossible_is_not_undone(system: RunningSystem) -> None:
    with closing(fault(system)) as made:
        made.choose()
        made.inject()
        assert made.injected(20).check == "passed"
        answer(system, but=1)
        wait_until(lambda: "1 of 6 requests" in made.undone().text, what="five answers")
        answer(system, latency_ms=-3.0)
        wait_until(lambda: "impossible latency_ms, such as -3.0" in made.undone().text, what="the wrong answers")


def test_another_process_sees_what_a_killed_one_has_sent(system: RunningSystem) -> None:
    with closing(fault(system)) as first:
        target = first.choose()
        first.inject()
    with closing(fault(system)) as again:
        wait_until(lambda: again.resume(target).check == "passed", what="the requests")
        assert checked(again, "failed")
        answer(system)
        wait_until(lambda: again.undone().check == "passed", what="all answers")
    with closing(fault(system)) as none:
        assert none.resume(replace(target, before={**target.before, "mark": "nobody"})).check == "unknown"
        assert checked(none, "passed")
