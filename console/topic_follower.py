"""The thread that follows `status` and `drills.results`: one consumer, assigned by hand, of no group."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import cast

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from console.snapshot import Snapshot
from console.topic_fold import MOST_EVENTS, TopicFold
from drills.control.outcomes import TOPIC as DRILLS
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.kafka_errors import error_of, is_partition_end
from standfast.core.settings import Settings
from standfast.core.status import TOPIC as STATUS

_POLL_S = 0.25  # without a record the thread wakes four times a second
_QUIET_S = 1.2  # without a record for longer than a host's 1 s, Kafka is asked whether it answers
_ASK_S = 0.5
_ANSWER_S = 1.0
_AT_ONCE = 500
_PUBLISH_S = 1.0  # without news
_log = structlog.get_logger()


class TopicFollower:
    """Calls `publish` with a snapshot after each change, and once a second without one.

    It goes on by itself when Kafka comes back: the client connects again and reads on at its positions.
    """

    def __init__(self, settings: Settings, publish: Callable[[Snapshot], None]) -> None:
        prefix = settings.kafka.topic_prefix
        self._status = prefix + STATUS
        self._topics = (self._status, prefix + DRILLS)
        config = clients.follower(settings, "standfast-console")
        self._consumer = Consumer({**config, "enable.partition.eof": True})
        self._publish = publish
        self._known = TopicFold(prefix)
        self._ending = threading.Event()
        self._heard_at = self._ask_at = self._published_at = 0.0
        self._problem = "Kafka has not answered yet"
        self._begun = False
        self._thread = threading.Thread(target=self._run, name="console-reading", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Ends the thread; returns within two seconds."""
        self._ending.set()
        self._thread.join(2 * _ANSWER_S)

    def _run(self) -> None:
        while not self._ending.is_set():
            if self._begun or self._begin():
                self._step()
            else:
                self._ending.wait(_ASK_S)
            self._tell(at_least_every_s=_PUBLISH_S)
        self._consumer.close()

    def _step(self) -> None:
        first = cast("Consumed | None", self._consumer.poll(_POLL_S))
        if first is None:
            self._check_silence()
            return
        messages = [first, *cast("list[Consumed]", self._consumer.consume(_AT_ONCE, 0))]
        news = [message for message in messages if message.error() is None]
        for message in news:
            self._known.take(message)
        if news or any(is_partition_end(message.error()) for message in messages):
            self._answers()
        if news:
            self._tell(at_least_every_s=0.0)

    def _begin(self) -> bool:
        """Assigns all partitions; False if Kafka or a topic is missing."""
        try:
            places = [place for topic in self._topics for place in self._places(topic)]
        except KafkaException as error:
            self._problem = f"Kafka does not answer: {error_of(error).str()}"
            return False
        self._consumer.assign(places)
        self._begun = True
        self._answers()
        return True

    def _places(self, topic: str) -> list[TopicPartition]:
        """Where to begin: the hosts' records from the beginning, of the drills' the last some thousand."""
        metadata = self._consumer.list_topics(topic, timeout=_ANSWER_S).topics[topic]
        if metadata.error is not None:
            raise KafkaException(metadata.error)
        bounds = {number: self._bounds(topic, number) for number in metadata.partitions}
        if topic == self._status:
            self._known.heard.begin({number: high for number, (_, high) in bounds.items()})
            return [TopicPartition(topic, number, OFFSET_BEGINNING) for number in bounds]
        return [TopicPartition(topic, number, max(low, high - MOST_EVENTS)) for number, (low, high) in bounds.items()]

    def _bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The partition's first offset and its end; raises KafkaException."""
        bounds = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), _ANSWER_S, cached=False)
        if bounds is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
        return int(bounds[0]), int(bounds[1])

    def _answers(self) -> None:
        self._heard_at = time.monotonic()
        self._known.heard.is_abreast()
        self._problem = ""

    def _check_silence(self) -> None:
        """Asks Kafka for an end offset if no record came for 1.2 s: is every host silent, or is Kafka away?"""
        now = time.monotonic()
        if now - self._heard_at < _QUIET_S or now < self._ask_at:
            return
        self._ask_at = now + _ASK_S
        try:
            self._bounds(self._status, 0)
        except KafkaException as error:
            self._problem = f"Kafka does not answer: {error_of(error).str()}"
        else:
            self._known.heard.is_abreast()
            self._problem = ""

    def _tell(self, at_least_every_s: float) -> None:
        if time.monotonic() - self._published_at >= at_least_every_s:
            self._published_at = time.monotonic()
            self._publish(self._known.snapshot(self._problem))
