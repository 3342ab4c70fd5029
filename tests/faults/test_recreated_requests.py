"""A request topic that is deleted and made again while workers read it: what is not answered is told of by offset."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from drills.evidence.offsets import ends_of
from tests.support.toys.toys import PARTITIONS, Toys
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300)
MADE_AGAIN = "a request topic was deleted and made again"
PASSED = "requests of a topic that was made again may be unanswered"
EACH = 20


@pytest.fixture
def toys(broker: str, tmp_path: Path) -> Iterator[Toys]:
    made = Toys(tmp_path / "home", broker, f"again{time.time_ns()}.", ("search",))
    made.start()
    yield made
    made.stop()


class Caller:
    """Sends requests and reads their answers."""

    def __init__(self, toys: Toys) -> None:
        servers = {"bootstrap.servers": toys.settings.kafka.bootstrap_servers}
        self._topic = toys.topic("search.requests")
        self._producer = Producer({**servers, "topic.metadata.refresh.interval.ms": 500})
        self._answers = Consumer({**servers, "group.id": "caller", "isolation.level": "read_committed"})
        self._answers.assign(ends_of(self._answers, toys.topic("search.results")))
        self.sent: dict[str, tuple[int, int]] = {}
        self.answered: set[str] = set()

    def send(self, mark: str) -> None:
        """`EACH` requests to each partition; their places are those of the topic that Kafka has written them to."""
        for number in range(EACH * PARTITIONS):
            name, partition = f"{mark}-{number}", number % PARTITIONS
            value = json.dumps({"request_id": name, "query": "lamp"}).encode()
            self._producer.produce(
                self._topic,
                value,
                partition=partition,
                on_delivery=lambda error, message, name=name: self._note(error, message, name),
            )
        assert self._producer.flush(60) == 0

    def read(self) -> set[str]:
        """The requests that are answered by now."""
        for message in self._answers.consume(1000, 0.2):
            self.answered.add(json.loads(message.value())["request_id"])
        return self.answered

    def _note(self, error: Any, message: Any, name: str) -> None:
        assert error is None, error
        self.sent[name] = (message.partition(), message.offset())


def told(toys: Toys, event: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in toys.log_file.read_text().splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == event]


def named(toys: Toys) -> dict[int, int]:
    """By partition: the offset before which requests may be unanswered, as the workers say."""
    return {int(number): offset for line in told(toys, PASSED) for number, offset in line["offsets_before"].items()}


def test_each_request_is_answered_or_lies_before_an_offset_that_the_log_names(toys: Toys) -> None:
    caller = Caller(toys)
    caller.send("old")
    wait_until(lambda: len(caller.read()) == len(caller.sent), 60, what="all answers")
    admin, topic = (
        AdminClient({"bootstrap.servers": toys.settings.kafka.bootstrap_servers}),
        toys.topic("search.requests"),
    )
    admin.delete_topics([topic])[topic].result(30)

    def is_made() -> bool:
        try:
            admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
        except Exception:  # noqa: BLE001 - the old one is still being deleted
            return False
        return True

    wait_until(is_made, 60, every=0.1, what="the topic made again")
    caller.sent.clear()
    caller.send("new")
    wait_until(lambda: told(toys, MADE_AGAIN), 60, every=0.2, what="a line in the log")

    def is_accounted() -> bool:
        missing = [place for name, place in caller.sent.items() if name not in caller.read()]
        return all(offset < named(toys).get(partition, 0) for partition, offset in missing)

    wait_until(is_accounted, 60, every=0.2, what="answers to all that the log does not name")
    caller.sent.clear()
    caller.send("later")
    wait_until(lambda: caller.sent.keys() <= caller.read(), 60, what="answers to all later requests")
