"""A record that waits for the schema registry holds up its own partition and no other."""

from __future__ import annotations

from typing import cast

from confluent_kafka import Consumer, TopicPartition

from consumers.requests.admission import Origin
from consumers.serving.held import HeldPartitions


class Pauses:
    """A consumer that only tracks which partitions are paused."""

    def __init__(self) -> None:
        self.paused: set[tuple[str, int]] = set()

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {(partition.topic, partition.partition) for partition in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {(partition.topic, partition.partition) for partition in partitions}


class HeldStage:
    """Held partitions in which a value that starts with a digit waits until the digit is in `known`."""

    def __init__(self) -> None:
        self.consumer = Pauses()
        self.known = ""
        self.held = HeldPartitions(cast(Consumer, self.consumer), self._waits)

    def _waits(self, value: bytes | None) -> bool:
        first = (value or b"").decode()[:1]
        return first.isdigit() and first not in self.known

    def sift(self, *records: Origin) -> list[bytes | None]:
        return [record.value for record in self.held.sift(records)]

    def released(self) -> list[bytes | None]:
        return [record.value for record in self.held.released()]


def record(partition: int, value: str) -> Origin:
    return Origin("t", partition, 0, 0, None, value.encode(), [])


def test_what_is_behind_it_waits_and_other_partitions_go_on() -> None:
    stage = HeldStage()
    read = [record(0, "a"), record(0, "1"), record(0, "b"), record(1, "c"), record(0, "2")]
    assert stage.sift(*read) == [b"a", b"c"]
    assert stage.consumer.paused == {("t", 0)}
    assert stage.sift(record(0, "d"), record(1, "e")) == [b"e"]
    assert stage.released() == []
    assert len(stage.held.records()) == 4, "they still count as waiting"


def test_they_come_back_in_their_order_and_the_partition_is_read_again() -> None:
    stage = HeldStage()
    stage.sift(record(0, "1"), record(0, "b"), record(0, "2"), record(0, "c"))
    stage.known = "1"
    assert stage.released() == [b"1", b"b"]
    assert stage.consumer.paused == {("t", 0)}, "the next one waits"
    stage.known = "12"
    assert stage.released() == [b"2", b"c"]
    assert stage.consumer.paused == set()
    assert stage.sift(record(0, "d")) == [b"d"]


def test_a_partition_that_is_given_up_is_forgotten() -> None:
    stage = HeldStage()
    stage.sift(record(0, "1"), record(1, "1"))
    stage.held.drop({("t", 0)})
    assert stage.held.partitions == {("t", 1)}
    stage.known = "1"
    assert stage.released() == [b"1"]


def test_without_a_registry_nothing_is_looked_at() -> None:
    read = [record(0, "1")]
    assert HeldPartitions(cast(Consumer, None), None).sift(read) is read
