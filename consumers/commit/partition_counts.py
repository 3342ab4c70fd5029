"""How many partitions the topics have that requests name, asked of Kafka beside whoever wants to know."""

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

_KNOWN_S = 1.0  # then asked again when it is next wanted: callers make topics and take them away
_MOST = 1000  # names that are remembered, and names that may be waiting to be asked about
_ASK_S = 2.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Known:
    count: int
    until: float


class PartitionCounts:
    """0 for a topic that does not exist or may not be seen, None while Kafka has not said; never waits for Kafka.

    A name is asked about in a thread, all that are wanted at that moment in one question: asked one by one on the
    serving thread, each missing topic held every other request for half a second. What was known is told on until
    there is a newer answer. Any number of threads may use it.
    """

    def __init__(self, build: Callable[[], AdminClient]) -> None:
        self._build = build
        self._admin: AdminClient | None = None
        self._state = threading.Condition()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._wanted: set[str] = set()
        self._asking: threading.Thread | None = None

    def __call__(self, topic: str) -> int | None:
        """What is known now; asks, and returns at once, if that is nothing or old."""
        with self._state:
            known = self._known.get(topic)
            if known is None or time.monotonic() > known.until:
                self._want(topic)
            if known is None:
                return None
            self._known.move_to_end(topic)
            return known.count

    def wait(self, topics: Collection[str], within_s: float) -> None:
        """Returns when something is known of all of them, or after so many seconds."""
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
        """The thread's whole life: it ends when nobody wants to know any more."""
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
        """What Kafka says; a topic of which it says nothing is left out."""
        counts: dict[str, int] = {}
        try:
            self._admin = self._admin or self._build()
            asked = self._admin.describe_topics(TopicCollection(sorted(topics)), request_timeout=_ASK_S)
            for topic, answer in asked.items():
                counts |= _count(topic, answer.result)
        except (KafkaException, TimeoutError, ValueError) as error:
            _log.warning("reply topics cannot be looked up", topics=len(topics), error=str(error))
        return counts


def _count(topic: str, result: Callable[[float], TopicDescription]) -> dict[str, int]:
    try:
        return {topic: len(result(2 * _ASK_S).partitions)}
    except KafkaException as error:
        if error_of(error).code() < 0:  # the client's own: Kafka did not answer
            raise
        return {topic: 0}
