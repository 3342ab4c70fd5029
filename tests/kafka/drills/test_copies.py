"""A second answer counts as doubled only if the load wrote the request once: it reads its own requests from Kafka."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from consumers.service import service
from drills.evidence import load as loads
from drills.evidence.checker import measure
from drills.evidence.load import Load
from standfast import topics
from standfast.core import clients
from standfast.core.settings import KafkaSettings, Settings
from tests.waiting import wait_until


@pytest.fixture
def settings(broker: str, unique: str) -> Settings:
    made = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{unique}.", partitions=2))
    topics.apply(AdminClient(clients.base(made, "test")), made.kafka)
    return made


@pytest.mark.parametrize(("written", "answered", "doubled"), [(1, 2, 1), (2, 2, 0), (2, 3, 1)])
def test_an_answer_a_copy_is_no_doubled_answer(settings: Settings, written: int, answered: int, doubled: int) -> None:
    search = service("search", settings)
    load = Load(settings, search, "twice", 20.0, ())
    load.start()
    by_hand = Producer(clients.producer(settings, "test"))
    try:
        first = wait_until(
            lambda: [request for request in load.history().requests if request.sent == "acked"], what="a request"
        )[0]
        for _ in range(written - 1):
            by_hand.produce(search.requests, b"{}", first.request_id, first.partition)
        result = json.dumps({"request_id": first.request_id, "status": "ok", "items": []})
        for _ in range(answered):
            by_hand.produce(search.results, result, first.request_id)
        assert by_hand.flush(30) == 0
        wait_until(
            lambda: sum(len(request.answers) for request in load.history().requests) == answered, what="its answers"
        )
        history = load.history()
    finally:
        load.close()
    counts = measure(history)
    assert (load.broken, counts.duplicated, counts.written_twice) == (None, doubled, int(written > 1))
    copies = [request.copies for request in history.requests if request.request_id == first.request_id]
    assert [len(offsets) for offsets in copies] == [written if written > 1 else 0], "one record is not listed"


def test_no_request_is_given_up_so_that_none_is_numbered_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With message.timeout.ms = 15 s, 138 and 263 requests were written twice when a broker died on a busy machine."""
    made: list[dict[str, object]] = []

    def producer(config: dict[str, object]) -> Producer:
        made.append(config)
        return Producer(config)

    monkeypatch.setattr(loads, "Producer", producer)
    load = Load(settings, service("search", settings), "patient", 5.0, ())
    load.start()
    load.close()
    assert [(config["enable.idempotence"], config["message.timeout.ms"]) for config in made] == [(True, 0)]
