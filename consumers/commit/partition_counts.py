"""How many partitions a topic has that a request names, looked up in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, TopicDescription

from standfast.core.kafka_errors import error_of

_KNOWN_S = 1.0  # an older answer is looked up again when it is next used: callers create and delete topics
_MOST = 1000  # names that are remembered, and names that may wait to be looked up
_ASK_S = 2.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Known:
    count: int
    until: float


class PartitionCounts:
    """A topic's number of partitions; 0: it does not exist or may not be described; None: not known yet.

    A call never waits for Kafka. A thread looks up all names that are wanted at that moment in one request: looked up
    one by one on the serving thread, each missing topic delayed every other request by half a second. Until there is a
    newer answer the old one is returned. Any number of threads may use it.
    """

    def __init__(self, build: Callable[[], AdminClient]) -> None:
        self._build = build
        self._admin: AdminClient | None = None
        self._state = threading.Condition()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._wanted: set[str] = set()
        self._asking: threading.Thread | None = None

    def __call__(self, topic: str) -> int | None:
        """The number that is known now; has it looked up if there is none or it is old. Returns at once."""
        with self._state:
            known = self._known.get(topic)
            if known is None or time.monotonic() > known.until:
                self._want(topic)
            if known is None:
                return None
            self._known.move_to_end(topic)
            return known.count

    def wait(self, topics: Collection[str], within_s: float) -> None:
        """Blocks until the numbers of all these topics are known, or for so many seconds."""
        with self._state:
            for topic in topics:
                if topic not in self._known:
                    self._want(topic)
            self._state.wait_for(lambda: all(topic in self._known for topic in topics), within_s)

    def _want(self, topic: str) -> None:
        if len(self._wanted) < _MOST:
            self._wanted.add(topic)
        if self._asking is None:
            self._asking = threading.Thread(target=self._ask, name="reply-topics", daemon=True)
            self._asking.start()

    def _ask(self) -> None:
        """Runs in the thread, which ends when no name waits to be looked up."""
        while True:
            with self._state:
                topics, self._wanted = self._wanted, set()
                if not topics:
                    self._asking = None
                    return
            counts = self._counted(topics)
            with self._state:
                for topic, count in counts.items():
                    self._known[topic] = _Known(count, time.monotonic() + _KNOWN_S)
                    self._known.move_to_end(topic)
                while len(self._known) > _MOST:
                    self._known.popitem(last=False)
                self._state.notify_all()

    def _counted(self, topics: Collection[str]) -> dict[str, int]:
        """Kafka's answer; topics that are not in it are left out."""
        counts: dict[str, int] = {}
        try:
            self._admin = self._admin or self._build()
            futures = self._admin.describe_topics(TopicCollection(sorted(topics)), request_timeout=_ASK_S)
            for topic, future in futures.items():
                counts |= _count(topic, future.result)
        except (KafkaException, TimeoutError, ValueError) as error:
            _log.warning("reply topics cannot be looked up", topics=len(topics), error=str(error))
        return counts


def _count(topic: str, result: Callable[[float], TopicDescription]) -> dict[str, int]:
    try:
        return {topic: len(result(2 * _ASK_S).partitions)}
    except KafkaException as error:
        if error_of(error).code() < 0:  # an error of the client itself: Kafka did not answer
            raise
        return {topic: 0}
