"""Counts what became of each record a test sent: answered, written to a dead-letter topic, or neither."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from consumers.requests.admission import origin_of
from standfast.core import clients
from standfast.core.settings import Settings
from tests.support.fuzzed import NUMBERED

RecordPosition = tuple[str, int, int]


class Accounts:
    """Reads result and dead-letter topics from their beginning, in a thread; the header `NUMBERED` identifies a record.

    `positions_set_aside` has the topic, partition and offset of each record that became a dead letter.
    """

    def __init__(self, settings: Settings, topics: list[str]) -> None:
        self.answered: set[int] = set()
        self.set_aside: set[int] = set()
        self.positions_set_aside: set[RecordPosition] = set()
        self.read: Counter[str] = Counter()
        self._consumer = Consumer(clients.follower(settings, "accounts"))
        metadata = self._consumer.list_topics(timeout=30).topics
        self._consumer.assign(
            [
                TopicPartition(topic, number, OFFSET_BEGINNING)
                for topic in topics
                for number in metadata[topic].partitions
            ]
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, name="accounts", daemon=True)

    def __enter__(self) -> Accounts:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(30)
        self._consumer.close()

    def know(self, number: int, position: RecordPosition | None = None) -> bool:
        """Whether a record was answered or set aside; by its position where its headers cannot be read."""
        return number in self.answered or number in self.set_aside or position in self.positions_set_aside

    def _read(self) -> None:
        while not self._ended.is_set():
            for message in self._consumer.consume(1000, 0.1):
                if message.error() is None:
                    self._take(message)

    def _take(self, message: Message) -> None:
        self.read[message.topic()] += 1
        headers = dict(origin_of(message).headers)
        number = headers.get(NUMBERED)
        dead = message.topic().endswith(".dlq")
        if dead:
            topic, partition, offset = (headers[f"error-{name}"] or b"" for name in ("topic", "partition", "offset"))
            self.positions_set_aside.add((topic.decode(), int(partition), int(offset)))
        if number:
            (self.set_aside if dead else self.answered).add(int(number))
