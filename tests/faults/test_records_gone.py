"""Requests deleted from Kafka unread: only the drill's own, counted by the system, and told apart from lost ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from drills.evidence.history import Deleted
from drills.faults.records_gone import RecordsGone
from drills.faults.running_system import RunningSystem
from standfast.core.errors import DrillRejected
from tests.support.drill_stage import DrillStage, runner_in_a_thread
from tests.support.healing import aimed, healed, struck_system
from tests.support.toys.toys import Toys
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300)
NAME = "kafka-records-gone"


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    made = Toys(tmp_path_factory.mktemp("gone") / "home", broker, f"gone{time.time_ns()}.", ("search",))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def system(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> RunningSystem:
    return struck_system(toys, monkeypatch)


@pytest.fixture
def injector(system: RunningSystem) -> Iterator[RecordsGone]:
    with closing(RecordsGone(system, aimed(NAME, least=3))) as made:
        made.choose()
        yield made
        made.undo()


@pytest.fixture
def ask(toys: Toys) -> Callable[[str, int], None]:
    """Sends so many requests, with keys that begin so, to each partition."""
    producer = Producer({"bootstrap.servers": toys.settings.kafka.bootstrap_servers})

    def send(key: str, count: int) -> None:
        for partition in range(4):
            for number in range(count):
                value = b'{"request_id": "%s-%d", "query": "lamp"}' % (key.encode(), number)
                producer.produce(toys.topic("search.requests"), value, f"{key}-{number}".encode(), partition=partition)
        assert producer.flush(30) == 0

    return send


def begins(toys: Toys, partition: int) -> int:
    consumer = Consumer({"bootstrap.servers": toys.settings.kafka.bootstrap_servers, "group.id": "test"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(toys.topic("search.requests"), partition), timeout=30)[0]
    finally:
        consumer.close()


def test_requests_of_others_stay_and_so_does_all_behind_them(
    toys: Toys, injector: RecordsGone, ask: Callable[[str, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    strike = injector.strike

    def after_others_came() -> None:
        strike()
        wait_until(injector.held, 30, what="a stranger with partitions")
        for key, count in ((injector.aim.drill_id, 4), ("somebody", 2), (injector.aim.drill_id, 5)):
            ask(key, count)

    monkeypatch.setattr(injector, "strike", after_others_came)
    fault = injector.inject()
    (gone,) = fault.deleted
    assert gone.count == 4, "the drill's first four; the five behind somebody's two stay"
    assert begins(toys, gone.partition) == gone.until
    assert injector.injected(5).check == "passed"
    healed(injector)
    assert f"of 4 deleted requests the system has reported {gone.until - gone.first}" in injector.undone().text


def test_where_only_others_wait_nothing_is_deleted(
    toys: Toys, injector: RecordsGone, ask: Callable[[str, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [begins(toys, partition) for partition in range(4)]
    strike = injector.strike

    def after_others_came() -> None:
        strike()
        wait_until(injector.held, 30, what="a stranger with partitions")
        ask("somebody", 5)

    monkeypatch.setattr(injector, "strike", after_others_came)
    with pytest.raises(DrillRejected, match="fewer than 3 requests of the drill alone waited"):
        injector.inject()
    assert [begins(toys, partition) for partition in range(4)] == before
    wait_until(lambda: injector.undone().check == "passed", 30, every=0.2, what="a group without strangers")


def test_deleted_requests_that_nobody_has_counted_are_seen(
    injector: RecordsGone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(injector, "_deleted", Deleted(0, 5, 9, 4))
    wait_until(lambda: "the system has reported 0" in injector.undone().text, 30, every=0.2, what="a stable group")
    assert injector.undone().check == "failed"
    monkeypatch.setattr(injector, "_counted", lambda: -1)
    assert injector.undone().check == "unknown", "no metrics are no evidence"


def test_a_partition_that_begins_before_them_does_not_show_the_fault(
    injector: RecordsGone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(injector, "_deleted", Deleted(0, 5, 10**9, 4))
    assert injector.injected(5).check == "failed"


def test_the_system_holds_and_the_deleted_are_told_apart(toys: Toys, system: RunningSystem) -> None:
    del system
    with runner_in_a_thread(toys.settings), closing(DrillStage(toys.settings)) as stage:
        quick = {"before_s": 2.0, "after_s": 5.0, "rate": 50.0, "p99_ms": 60_000.0, "rto_ms": 60_000.0}
        last = stage.verdict(NAME, {**quick, "recover_within_s": 90.0})
    told = "\n".join([str(last.reason), *(last.findings or ())])
    assert (last.verdict, last.lost, last.duplicated) == ("passed", 0, 0), told
    assert "more were deleted by the drill itself before they were read" in told
