"""A consumer that joins the workers' group, gets partitions, answers nothing and leaves: this causes two rebalances."""

from __future__ import annotations

import threading
from types import TracebackType

from confluent_kafka import Consumer, TopicPartition

from standfast.core import clients
from tests.waiting import wait_until


class Guest:
    """A member of the group during the block. It leaves only after it has had partitions: no rebalance waits for it."""

    def __init__(self, config: clients.Config, topic: str) -> None:
        # With the default interval of 3 s the guest learned of its partitions 3 s after the workers had revoked them.
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
        """Returns when the guest has partitions, and so the workers have revoked them."""
        wait_until(lambda: self._partitions, 60, what="partitions for a guest")

    def leave(self) -> None:
        """Has the guest leave the group, which gives its partitions back."""
        self._leaving.set()

    def _stay(self) -> None:
        self._consumer.subscribe([self._topic], on_assign=lambda _, partitions: self._partitions.extend(partitions))
        while not self._leaving.is_set() or not self._partitions:
            self._consumer.poll(0.05)
        self._consumer.close()
