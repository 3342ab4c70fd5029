"""Each command on drills.control gets exactly one last event, whatever its record is and if the topic is recreated."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from drills.control.events import FINAL
from drills.control.reader import Control
from schemas.records import DrillEvent
from standfast import topics
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.settings import KafkaSettings, Settings
from standfast.core.topics.topic_ids import identity_of
from tests.support.desk import Desk, RefusedByKafka
from tests.support.drill_stage import DrillStage, runner_in_a_thread
from tests.waiting import wait_until

WAIT_S = 60.0


@pytest.fixture
def stage(state: Path, broker: str, unique: str) -> Iterator[DrillStage]:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{unique}.", partitions=1))
    topics.apply(AdminClient(clients.base(settings, "test")), settings.kafka)
    stage = DrillStage(settings)
    yield stage
    stage.close()


@pytest.fixture
def runner(stage: DrillStage) -> Iterator[threading.Thread]:
    with runner_in_a_thread(stage.settings) as running:
        yield running


@pytest.fixture
def desk(stage: DrillStage) -> Desk:
    return Desk(stage.settings)


def endings(stage: DrillStage, count: int) -> list[DrillEvent]:
    """The last events of all drills, once there are `count` of them."""

    def seen() -> list[DrillEvent]:
        last = [outcome.event for outcome in stage.outcomes() if outcome.event.phase in FINAL]
        return last if len(last) >= count else []

    events = wait_until(seen, WAIT_S, every=0.2, what=f"{count} last events")
    assert len(events) == count, events
    return events


def topic_id(stage: DrillStage) -> str:
    return identity_of(AdminClient(clients.base(stage.settings, "test")), stage.topic).topic_id


def made_again(desk: Desk, stage: DrillStage) -> None:
    """Deletes drills.control and creates it again."""
    admin = AdminClient(clients.base(stage.settings, "test"))
    desk.delete("drills.control")

    def made() -> bool:
        try:
            admin.create_topics([NewTopic(stage.topic, 1, 1)])[stage.topic].result(WAIT_S)
        except Exception:  # noqa: BLE001 - it is still being deleted
            return False
        return True

    wait_until(made, WAIT_S, every=0.1, what="the topic made again")


def test_commands_of_a_topic_that_was_made_again_are_answered(
    stage: DrillStage, runner: threading.Thread, desk: Desk
) -> None:
    for _ in range(2):
        stage.order(drill="none")
    first = endings(stage, 2)
    made_again(desk, stage)
    for _ in range(4):  # more than before, so that the offset reached in the old topic exists in the new one
        stage.order(drill="none")
    events = endings(stage, 6)
    fresh = topic_id(stage)
    ids = [f"{stage.topic}-0-{number}" for number in range(4)]
    assert [event.command for event in events[2:]] == [f"{name}@{fresh}" for name in ids]
    assert [event.drill_id for event in events[2:]] == ids
    assert [event.drill_id for event in first] == ids[:2]
    assert len({event.command for event in events}) == 6


def test_a_topic_made_again_while_no_runner_lived_is_read_from_its_beginning(stage: DrillStage, desk: Desk) -> None:
    with runner_in_a_thread(stage.settings):
        for _ in range(2):
            stage.order(drill="none")
        endings(stage, 2)
    made_again(desk, stage)
    for _ in range(3):
        stage.order(drill="none")
    with runner_in_a_thread(stage.settings):
        assert len({ending.command for ending in endings(stage, 5)}) == 5


def test_a_command_that_comes_twice_is_answered_once(stage: DrillStage) -> None:
    """It comes twice after `kafka-consumer-groups --reset-offsets`, or when the group's offsets have expired."""
    with runner_in_a_thread(stage.settings):
        stage.order(drill="none")
        stage.order(drill="none", drill_id="named")
        endings(stage, 2)
    admin = AdminClient(clients.base(stage.settings, "test"))
    group = f"{stage.settings.kafka.topic_prefix}standfast-drills"
    wait_until(lambda: is_deleted(admin, group), WAIT_S, every=0.2, what="the group's end")
    with runner_in_a_thread(stage.settings):
        stage.order(drill="none", drill_id="last")
        stage.last("last", WAIT_S)
        assert len(endings(stage, 3)) == 3


def is_deleted(admin: AdminClient, group: str) -> bool:
    try:
        admin.delete_consumer_groups([group])[group].result(WAIT_S)
    except Exception:  # noqa: BLE001 - it still has a member
        return False
    return True


def test_an_id_like_that_of_a_later_command_hides_no_command(stage: DrillStage, runner: threading.Thread) -> None:
    taken = f"{stage.topic}-0-1"
    stage.order(drill="none", drill_id=taken, requested_by="first")
    stage.order(drill="none", requested_by="second")
    first, second = endings(stage, 2)
    assert "so are commands named that bring no drill_id" in (first.reason or "")
    assert (second.requested_by, second.drill_id, second.command) == ("second", taken, f"{taken}@{topic_id(stage)}")
    stage.order(drill="none", drill_id=f"{stage.topic}-0-2", requested_by="its own")
    assert "there is no drill" in (endings(stage, 3)[-1].reason or "")


def test_a_command_in_a_partition_that_was_added_is_answered(
    stage: DrillStage, runner: threading.Thread, desk: Desk
) -> None:
    stage.order(drill="none")
    endings(stage, 1)
    admin = AdminClient(clients.base(stage.settings, "test"))
    admin.create_partitions([NewPartitions(stage.topic, 3)])[stage.topic].result(WAIT_S)
    wait_until(lambda: identity_of(admin, stage.topic).partitions == 3, WAIT_S, what="three partitions")
    desk.send("drills.control", b"none", partition=2)
    assert endings(stage, 2)[-1].drill_id == f"{stage.topic}-2-0"


def test_a_dead_letter_that_its_topic_does_not_take_is_shortened(
    stage: DrillStage, runner: threading.Thread, desk: Desk
) -> None:
    desk.configure("drills.control", max_message_bytes=str(5_000_000))
    wait_until(lambda: takes(desk, b"\x01" * 3_000_000), WAIT_S, what="a topic that takes large records")
    desk.send("drills.control", b"none")
    endings(stage, 2)
    ((value, headers),) = stage.dead_letters()
    assert (value, headers["error-value-bytes"], headers["error-offset"]) == (None, b"3000000", b"0")
    assert "own" not in headers


def takes(desk: Desk, value: bytes) -> bool:
    try:
        desk.send("drills.control", value, headers=[("own", b"x")])
    except RefusedByKafka:
        return False
    return True


def test_a_dead_letter_without_a_topic_does_not_stop_the_next_command(
    stage: DrillStage, runner: threading.Thread, desk: Desk
) -> None:
    desk.delete("drills.control.dlq")
    stage.send(b"\x01 no command")
    stage.order(drill="none", drill_id="next")
    wait_until(lambda: "rejected" in stage.phases("next"), 120, every=0.5, what="the next command's answer")
    assert "neither JSON" in (stage.last(f"{stage.topic}-0-0").reason or "")


def test_a_command_whose_sender_has_given_up_is_refused(stage: DrillStage, runner: threading.Thread) -> None:
    stage.order(drill="worker-kill", drill_id="late", valid_until=1_700_000_000_000)
    assert "nothing is begun; send it again" in (stage.last("late").reason or "")


def test_the_committed_offset_carries_the_id_of_its_topic(stage: DrillStage, runner: threading.Thread) -> None:
    stage.order(drill="none")
    endings(stage, 1)
    control = Control(stage.settings, lambda: True)
    try:
        (committed,) = control._consumer.committed([TopicPartition(stage.topic, 0)], 10)
        assert (committed.offset, committed.metadata) == (1, topic_id(stage))
    finally:
        control.close()


def test_a_command_read_just_after_a_look_at_a_topic_that_is_gone_meanwhile_is_of_the_new_topic(
    stage: DrillStage, desk: Desk
) -> None:
    """The topic id known before a command came may be the old topic's: a command was answered under that id."""
    control = Control(stage.settings, lambda: False)
    try:
        control.open()
        made_again(desk, stage)
        stage.order(drill="none")
        message = wait_until(lambda: just_after_a_look(control), WAIT_S, what="the command")
        assert message is not None
        assert control.record(message) == f"{stage.topic}-0-0@{topic_id(stage)}"
    finally:
        control.close()


def just_after_a_look(control: Control) -> Consumed | None:
    control._checked_at = time.monotonic()
    return control.next(0.2)
