"""Reads the last records of some topics, as many as are wanted and as long as is allowed, with its own client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from confluent_kafka import Consumer, KafkaException, TopicPartition

from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import ClusterError
from standfast.core.kafka_errors import error_of
from standfast.core.settings import Settings

WITHIN_S = 5.0
_ANSWER_S = 2.0
_AT_ONCE = 1000
_one_at_a_time = threading.Lock()  # scans are heavy; whoever reloads a page quickly must not start many


@dataclass(frozen=True, slots=True)
class Scanned:
    """`read` records were read; `whole`: these were all that were wanted."""

    read: int
    whole: bool


def scan(
    settings: Settings,
    topics: Iterable[str],
    most: int,
    take: Callable[[Consumed], None],
    besides: Mapping[tuple[str, int], int] | None = None,
) -> Scanned:
    """Calls `take` with the last `most` records of each topic, and with those at the places `besides`.

    Blocks for five seconds at most, and as long for another scan. Raises ClusterError if Kafka does not answer, or the
    other scan is not done.
    """
    if not _one_at_a_time.acquire(timeout=WITHIN_S):
        raise ClusterError("another search is under way; try again in some seconds")
    consumer = Consumer({**clients.follower(settings, "standfast-console-scan"), "enable.partition.eof": True})
    try:
        return _Scan(consumer, time.monotonic() + WITHIN_S).run(topics, most, take, besides or {})
    except KafkaException as error:
        raise ClusterError(f"Kafka does not answer: {error_of(error).str()}") from None
    finally:
        consumer.close()
        _one_at_a_time.release()


class _Scan:
    """One scan by one consumer."""

    def __init__(self, consumer: Consumer, deadline: float) -> None:
        self._consumer = consumer
        self._deadline = deadline
        self._ends: dict[tuple[str, int], int] = {}  # of partitions that are not read to their end
        self._read = 0

    def run(
        self,
        topics: Iterable[str],
        most: int,
        take: Callable[[Consumed], None],
        besides: Mapping[tuple[str, int], int],
    ) -> Scanned:
        for (topic, number), offset in besides.items():
            self._follow([TopicPartition(topic, number, offset)], take, until=1)
        starts = [start for topic in topics for start in self._starts(topic, most)]
        self._follow(starts, take, until=None)
        return Scanned(self._read, not self._ends)

    def _starts(self, topic: str, most: int) -> list[TopicPartition]:
        numbers = list(self._consumer.list_topics(topic, timeout=_ANSWER_S).topics[topic].partitions)
        each = max(1, most // max(1, len(numbers)))
        return [TopicPartition(topic, number, self._start(topic, number, each)) for number in numbers]

    def _start(self, topic: str, number: int, each: int) -> int:
        low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, number), _ANSWER_S, cached=False)
        return max(int(low), int(high) - each)

    def _follow(self, starts: list[TopicPartition], take: Callable[[Consumed], None], until: int | None) -> None:
        self._ends = {(start.topic, start.partition): start.offset for start in starts}
        self._consumer.assign(starts)
        taken = 0
        while self._ends and time.monotonic() < self._deadline and (until is None or taken < until):
            first = cast("Consumed | None", self._consumer.poll(0.1))
            rest = self._consumer.consume(_AT_ONCE, 0) if first is not None and until is None else []
            for message in [first, *cast("list[Consumed]", rest)] if first is not None else ():
                if message.error() is None:
                    take(message)
                    taken += 1
                else:
                    self._ends.pop((message.topic(), message.partition()), None)
        self._read += taken
