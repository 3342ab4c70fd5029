"""Whether Kafka answers for a topic, how many partitions the topic has, and whether each of them has a leader."""

from __future__ import annotations

import threading
import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from standfast.core import clients
from standfast.core.kafka_errors import error_of
from standfast.core.settings import Settings

_ASK_S = 3.0
_STALE_S = 5.0  # `ask` is called once a second, so several answers are missing by then


class TopicWatch:
    """Asks for a topic's metadata in the background; an answer that is older than 5 s counts as none."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._admin: AdminClient | None = None
        self._thread: threading.Thread | None = None
        self._problem = ""
        self._answered_at = 0.0
        self.partitions = 0

    @property
    def problem(self) -> str:
        """Why the topic's metadata cannot be relied on; empty if it can."""
        if self._problem:
            return self._problem
        return "" if time.monotonic() - self._answered_at < _STALE_S else f"Kafka says nothing of {self._topic}"

    def ask(self) -> None:
        """Sends a request, unless the last one is still unanswered; returns at once."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._ask, name=f"watch-{self._topic}", daemon=True)
            self._thread.start()

    def _ask(self) -> None:
        if self._admin is None:
            self._admin = AdminClient(clients.base(self._settings, "standfast-scaling"))
        try:
            topic = self._admin.list_topics(self._topic, timeout=_ASK_S).topics[self._topic]
        except KafkaException as error:
            self._problem = f"Kafka says nothing of {self._topic}: {error_of(error).str()}"
            return
        leaderless = sorted(number for number, partition in topic.partitions.items() if partition.leader < 0)
        if topic.error is not None:
            self._problem = f"Kafka says of {self._topic}: {topic.error.str()}"
        elif leaderless:
            self._problem = f"{self._topic} has no leader for its partitions {', '.join(map(str, leaderless))}"
        else:
            self._problem, self.partitions, self._answered_at = "", len(topic.partitions), time.monotonic()
