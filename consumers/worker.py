"""The loop of one worker: poll, batch, commit; and what happens to it when partitions move or it must stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from consumers.batches import Batches
from consumers.committer import Committer
from consumers.service import Service
from consumers.suspects import Suspects
from consumers.transactions import Delivery, Work
from standfast import telemetry
from standfast.errors import Fenced

_log = structlog.get_logger()
_POLL_S = 0.1
_LAG_EVERY_S = 1.0
# Longest wait in one go for the last batch's commit; after it the worker polls, paused, so that a rebalance can go on.
_COMMIT_WAIT_S = 1.0

Partitions = dict[str, list[int]]


class Worker:
    """Serves one service under one identity until told to stop.

    The consumer belongs to the thread that calls `serve`: confluent-kafka holds a lock on it for as long as a poll
    lasts, and a second thread that only asks for the group metadata is starved.

    Args:
        consumer: not yet subscribed, with a static group membership.
        assigned: told the partitions each time they change.
        stop_within_s: the one deadline for every step of a revoke, and for those of a stop.
    """

    def __init__(
        self,
        service: Service,
        consumer: Consumer,
        delivery: Delivery,
        batches: Batches,
        suspects: Suspects,
        assigned: Callable[[Partitions], None],
        stop_within_s: float,
    ) -> None:
        self._service = service
        self._consumer = consumer
        self._batches = batches
        self._suspects = suspects
        self._assigned = assigned
        self._stop_within_s = stop_within_s
        self._owned: set[tuple[str, int]] = set()
        self._stopping = threading.Event()
        self._labels = (service.requests, *batches.labels[1:])
        self._delivery = delivery
        self._committer = Committer(delivery, self._delivered, batches.instead)
        self._uncommitted: Work | None = None
        self._early: list[Message] = []
        self._given_up: set[tuple[str, int]] = set()
        self._lag_due = 0.0

    def stop(self) -> None:
        """Asks the loop to end after the batch in hand; returns at once."""
        self._stopping.set()

    def serve(self) -> None:
        """Blocks until stopped; nothing polled is left unanswered or answered twice. Raises Fenced."""
        self._consumer.subscribe(
            [self._service.requests], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        while not self._stopping.is_set():
            messages = self._polled()
            if messages:
                work = self._batches.work(messages)
                self._wait_for_committer()
                self._submit(work)
            else:
                self._idle(0)  # with nothing to do the last batch's offsets are not left waiting for the next
            self._report_lag()
        self._finish()

    def _polled(self) -> list[Message]:
        """What is there now, up to a batch. Waits for a first record only: never for one that may not come."""
        first = self._consumer.poll(0 if self._early else _POLL_S)
        more = [] if first is None or self._service.batch == 1 else self._consumer.consume(self._service.batch - 1, 0)
        fresh = [one for one in (first, *more) if one is not None and self._is_record(one)]
        messages, self._early = [*self._early, *fresh], []
        self._given_up.clear()
        return messages

    def _is_record(self, message: Message) -> bool:
        if (error := message.error()) is not None:
            _on_error(error)
            return False
        return _place(message) in self._owned

    def _submit(self, work: Work) -> None:
        # Given up and got back meanwhile is not ours either: the consumer reads it again from the committed offset.
        owned = work.without((set(work.offsets) - self._owned) | self._given_up)
        self._committer.submit(replace(owned, membership=self._consumer.consumer_group_metadata()))
        self._uncommitted = None if self._delivery.commits_offsets else owned

    def _idle(self, timeout: float) -> bool:
        """Waits for the batch in hand to be delivered; commits its offsets where the delivery does not."""
        if not self._committer.idle(timeout):
            return False
        done, self._uncommitted = self._uncommitted, None
        if done is not None and done.offsets:
            self._consumer.commit(offsets=done.positions(), asynchronous=False)
        return True

    def _wait_for_committer(self) -> None:
        if self._idle(_COMMIT_WAIT_S):
            return
        _log.warning("the last batch is not committed yet; polling is paused", partitions=len(self._owned))
        while not self._idle(0.05):
            self._consumer.pause(self._topic_partitions())
            self._put_by(self._consumer.poll(0))
            self._committer.renew(self._consumer.consumer_group_metadata())
        self._consumer.resume(self._topic_partitions())

    def _put_by(self, message: Message | None) -> None:
        """Keeps a record of a partition that was assigned by this very poll, and so was not paused: it is ours now."""
        if message is not None and self._is_record(message):
            self._early.append(message)

    def _finish(self) -> None:
        """Stops under one deadline: 1. the commit in hand; 2. the consumer, whose membership stays for a successor."""
        if not self._idle(self._stop_within_s):
            _log.warning("stopped before the last batch was committed; its requests will be read again")
        self._committer.close()
        self._consumer.close()

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._owned.update((one.topic, one.partition) for one in partitions)
        self._batches.suspects = self._suspects.read()
        self._tell()

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Nothing is being computed here, because polling and computing share a thread: only the commit is awaited."""
        gone = {(one.topic, one.partition) for one in partitions}
        if not self._idle(self._stop_within_s):
            self._committer.abandon(gone)
        self._give_up(gone)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {(one.topic, one.partition) for one in partitions}
        _log.warning("partitions lost to another worker", partitions=sorted(gone))
        self._committer.abandon(gone)
        self._give_up(gone)

    def _give_up(self, gone: set[tuple[str, int]]) -> None:
        # A pause outlives the assignment: got back later, the partition would never be read again.
        self._consumer.resume([TopicPartition(*one) for one in gone])
        self._owned -= gone
        self._given_up |= gone
        self._early = [one for one in self._early if _place(one) not in gone]
        if self._uncommitted is not None:
            self._uncommitted = self._uncommitted.without(gone)
        self._tell()

    def _tell(self) -> None:
        partitions: Partitions = {}
        for topic, partition in sorted(self._owned):
            partitions.setdefault(topic, []).append(partition)
        self._assigned(partitions)

    def _topic_partitions(self) -> list[TopicPartition]:
        return [TopicPartition(topic, partition) for topic, partition in self._owned]

    def _delivered(self, work: Work, seconds: float) -> None:
        telemetry.COMMIT.labels(self._service.requests).observe(seconds)
        now_ms = time.time() * 1000
        observed = telemetry.REQUEST.labels(*self._labels)
        for timestamp_ms in work.timestamps_ms:
            observed.observe(max(0.0, now_ms - timestamp_ms) / 1000)

    def _report_lag(self) -> None:
        if time.monotonic() < self._lag_due:
            return
        self._lag_due = time.monotonic() + _LAG_EVERY_S
        for at in self._consumer.position(self._topic_partitions()):
            _, end = self._consumer.get_watermark_offsets(at, cached=True)
            if at.offset >= 0 and end >= 0:
                telemetry.LAG.labels(at.topic, str(at.partition)).set(max(0, end - at.offset))


def _place(message: Message) -> tuple[str, int]:
    return message.topic(), message.partition()


def _on_error(error: KafkaError) -> None:
    if error.fatal() or error.code() in {KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL}:  # noqa: SLF001
        raise Fenced(f"this worker's place in the group was taken ({error.str()})")
    _log.warning("kafka reports", error=error.str())
