"""Produces the answers, then commits the offsets: at-least-once delivery."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, Producer

from consumers.commit.reports import Reports, produce
from consumers.commit.work import TIMEOUT_S, Replying, Work


class AtLeastOnce:
    """Answers first, then offsets: if a worker dies between the two, its successor answers again."""

    commits_offsets = False

    def __init__(self, build: Callable[[], Producer], replies: Replying) -> None:
        self.replies = replies
        self._producer = build()

    def prepare(self, offsets: Work) -> None:
        """Does nothing: offsets are committed after the answers."""

    def withdraw(self) -> None:
        """Does nothing: nothing was prepared."""

    def deliver(self, work: Work) -> None:
        """Blocks until every answer is acknowledged; the worker commits the offsets after that."""
        reports = Reports()
        try:
            for record in work.outgoing:
                produce(self._producer, record, reports.of(record))
        finally:
            self._producer.flush(TIMEOUT_S)
            reports.raise_unwritable()
        if reports.errors or len(self._producer):
            raise KafkaException(reports.errors[0] if reports.errors else KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
