"""At least once: an offset is kept and committed again until Kafka has taken it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from consumers.commit.offsets import Offsets
from consumers.commit.work import Work

TOPIC, BULK = "search.requests", "search.requests.bulk"


class FakeGroup:
    """A consumer group's committed offsets. Refuses a whole commit (`away`) or that of some partitions (`refuses`)."""

    def __init__(self) -> None:
        self.committed: dict[tuple[str, int], int] = {}
        self.away = False
        self.refuses: set[int] = set()

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[Any]:
        assert not asynchronous
        if self.away:
            raise KafkaException(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))
        answers = []
        for offset in offsets:
            refused = offset.partition in self.refuses
            answers.append(Answer(offset, KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART) if refused else None))
            if not refused:
                self.committed[offset.topic, offset.partition] = offset.offset
        return answers


class Answer:
    def __init__(self, at: TopicPartition, error: KafkaError | None) -> None:
        self.topic, self.partition, self.offset, self.error = at.topic, at.partition, at.offset, error


@pytest.fixture
def group() -> FakeGroup:
    return FakeGroup()


def commit(offsets: Offsets, group: FakeGroup) -> bool:
    return offsets.commit({topic: cast(Consumer, group) for topic in (TOPIC, BULK)})


def work(topic: str = TOPIC, **offsets: int) -> Work:
    return Work([], {(topic, int(name[1:])): at for name, at in offsets.items()}, [])


def test_what_is_refused_is_committed_later_though_the_next_batch_is_of_another_partition(group: FakeGroup) -> None:
    """The next batch's offsets replaced the refused ones, which were never committed: a restart answered them again."""
    offsets = Offsets()
    group.away = True
    offsets.submitted(work(p0=6))
    assert not commit(offsets, group)
    offsets.submitted(work(BULK, p1=3))
    assert not commit(offsets, group)
    group.away = False
    assert commit(offsets, group)
    assert group.committed == {(TOPIC, 0): 6, (BULK, 1): 3}


def test_what_kafka_says_of_each_partition_is_heard(group: FakeGroup) -> None:
    """Kafka refuses single partitions of a commit and takes the others."""
    offsets = Offsets()
    group.refuses = {1}
    offsets.submitted(work(p0=6, p1=9))
    assert not commit(offsets, group)
    group.refuses = set()
    assert commit(offsets, group)
    assert group.committed == {(TOPIC, 0): 6, (TOPIC, 1): 9}


_STEPS = st.lists(
    st.tuples(
        st.sampled_from([TOPIC, BULK]),
        st.sets(st.integers(0, 3), min_size=1),
        st.booleans(),
        st.sets(st.integers(0, 3), max_size=2),
        st.sets(st.integers(0, 3), max_size=2),
    ),
    max_size=20,
)


@given(_STEPS)
def test_at_the_end_all_is_committed_that_was_delivered_and_is_still_ours(
    steps: list[tuple[str, set[int], bool, set[int], set[int]]],
) -> None:
    """Each: a batch, whether Kafka is away, partitions that it refuses, and partitions given up afterwards."""
    group, offsets = FakeGroup(), Offsets()
    owed: dict[tuple[str, int], int] = {}
    for number, (topic, partitions, group.away, group.refuses, gone) in enumerate(steps):
        batch = {(topic, partition): number for partition in partitions}
        offsets.submitted(Work([], batch, []))
        commit(offsets, group)
        lost = {(topic, partition) for partition in gone}
        offsets.forget(lost)
        owed = {key: at for key, at in {**owed, **batch}.items() if key not in lost}
    group.away, group.refuses = False, set()
    assert commit(offsets, group)
    assert owed.items() <= group.committed.items()
