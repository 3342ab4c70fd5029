"""A member of the workers' consumer group that comes, takes partitions, answers nothing and leaves: two rebalances."""

from __future__ import annotations

import threading
from types import TracebackType

from confluent_kafka import Consumer, TopicPartition

from standfast.core import clients
from tests.waiting import wait_until


class Guest:
    """In the group while it is entered; leaves when it has partitions, or had them, so that nobody waits for it."""

    def __init__(self, config: clients.Config, topic: str) -> None:
        # A guest that listens as seldom as by default has its partitions 3 s after their workers have given them up.
        self._consumer = Consumer({**config, "heartbeat.interval.ms": 100})
        self._topic = topic
        self._partitions: list[TopicPartition] = []
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._stay, name="guest", daemon=True)

    def __enter__(self) -> Guest:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        self._thread.join(60)

    def settle(self) -> None:
        """Returns when it has partitions, which their workers have given up by then."""
        wait_until(lambda: self._partitions, 60, what="partitions for a guest")

    def leave(self) -> None:
        """Gives its partitions back."""
        self._leaving.set()

    def _stay(self) -> None:
        self._consumer.subscribe([self._topic], on_assign=lambda _, partitions: self._partitions.extend(partitions))
        while not self._leaving.is_set() or not self._partitions:
            self._consumer.poll(0.05)
        self._consumer.close()
