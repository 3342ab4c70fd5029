"""Commits one batch in a thread while the next is computed, and begins that one's transaction meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import structlog
from confluent_kafka import KafkaError, KafkaException

from consumers.commit.work import Delivery, TopicPartitionKey, Unwritable, Work
from consumers.requests.answers import Outgoing
from standfast.core import backoff
from standfast.core.kafka_errors import error_of

_log = structlog.get_logger()
# A prepared transaction is aborted if its batch is not computed after this: computing may take longer than a
# transaction may last.
_PREPARED_S = 2.0
# Kafka's errors for offsets with the group metadata from before a rebalance.
_OUTDATED = {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS}


class Committer:
    """A thread that delivers one batch's work at a time, and retries until it is delivered or abandoned.

    No second batch is queued: it would be thrown away if its partitions moved, and requests that wait instead make the
    next batch larger, which is more efficient.

    Args:
        delivery: how work is brought to Kafka.
        delivered: called in this thread with each work that has been delivered, and the seconds that took.
        replacement: the record to produce in the place of one that Kafka will never accept, for the given reason.
    """

    def __init__(
        self,
        delivery: Delivery,
        delivered: Callable[[Work, float], None],
        replacement: Callable[[Outgoing, str], Outgoing],
    ) -> None:
        self._delivery = delivery
        self._delivered = delivered
        self._replacement = replacement
        self._state = threading.Condition()
        self._announced: Work | None = None
        self._work: Work | None = None
        self._lost: set[TopicPartitionKey] = set()
        self._outdated = False
        self._failure: BaseException | None = None
        self._closed = False
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def announce(self, offsets: Work) -> None:
        """Announces the offsets of the batch that is being computed; returns at once. `submit` must follow."""
        with self._state:
            self._announced = offsets
            self._state.notify_all()

    def submit(self, work: Work) -> None:
        """Hands over one batch's work; only when `idle`. Returns at once; raises what ended the thread."""
        with self._state:
            self._raise_failure()
            if self._work is not None:
                raise RuntimeError("the last batch is still being committed")
            self._lost.clear()
            self._announced, self._work, self._outdated = None, work, False
            self.trouble = ""
            self._state.notify_all()

    def idle(self, timeout: float) -> bool:
        """Waits until nothing is left to deliver. Raises what ended the thread.

        False after `timeout` seconds, or as soon as Kafka has refused the group metadata in use: `renew` must follow.
        """
        with self._state:
            self._state.wait_for(lambda: self._work is None or self._outdated or self._failure is not None, timeout)
            self._raise_failure()
            return self._work is None

    def renew(self, memberships: Mapping[str, object]) -> None:
        """Gives the work in hand its consumer's current group metadata.

        Args:
            memberships: the group metadata of all consumers, by the topic that each reads.
        """
        with self._state:
            if self._work is not None and self._work.offsets:
                topic = next(iter(self._work.offsets))[0]
                self._work = replace(self._work, membership=memberships[topic])
            self._outdated = False

    def abandon(self, partitions: Iterable[TopicPartitionKey]) -> None:
        """Drops the part of these partitions, which this worker has lost: their next owner reads the requests again."""
        with self._state:
            self._lost.update(partitions)

    def close(self) -> None:
        """Ends the thread after the current attempt; the next owner reads again what is not delivered then."""
        with self._state:
            self._closed = True
            self._state.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while self._next():
                self._prepare()
                with self._state:
                    if self._work is None:  # work that is submitted a moment later must not be dropped below
                        continue
                self._reply()
                self._deliver()
                with self._state:
                    self._work = None
                    self._state.notify_all()
        except BaseException as error:  # noqa: BLE001 - handed to the serving thread, which raises it
            with self._state:
                self._failure = error
                self._state.notify_all()

    def _next(self) -> bool:
        with self._state:
            self._state.wait_for(lambda: self._work is not None or self._announced is not None or self._closed)
            return not self._closed

    def _prepare(self) -> None:
        with self._state:
            offsets, self._announced = self._announced, None
        if offsets is None:
            return
        self._delivery.prepare(offsets)
        with self._state:
            ready = self._state.wait_for(lambda: self._work is not None or self._closed, _PREPARED_S)
        if not ready:
            self._delivery.withdraw()

    def _reply(self) -> None:
        with self._state:
            work = self._work.without(self._lost) if self._work is not None and not self._closed else None
        if work is None:
            return
        outgoing = self._delivery.replies.deliver(work).outgoing
        with self._state:
            if self._work is not None:
                self._work = replace(self._work, outgoing=outgoing)

    def _deliver(self) -> None:
        attempt = 0
        began = time.perf_counter()
        while True:
            with self._state:
                left = self._work.without(self._lost) if self._work is not None else None
                if self._closed or left is None:
                    return
            if not left.offsets:
                self._delivery.withdraw()
                return
            try:
                self._delivery.deliver(left)
            except Unwritable as unwritable:
                _log.warning("records that kafka will never take are replaced", error=str(unwritable))
                self._replace(unwritable)
            except KafkaException as exception:
                attempt = self._refused(error_of(exception), attempt)
            else:
                self._delivered(left, time.perf_counter() - began)
                return
            backoff.wait(attempt)
            attempt += 1

    def _refused(self, error: KafkaError, attempt: int) -> int:
        """The attempt number for the back-off: at most 1 after a rebalance, since the retry has new metadata."""
        self.trouble = error.str()
        _log.warning("batch not committed, trying again", error=str(error), attempt=attempt)
        if error.code() not in _OUTDATED:
            return attempt
        with self._state:
            self._outdated = True
            self._state.notify_all()
        return min(attempt, 1)

    def _replace(self, unwritable: Unwritable) -> None:
        reasons = {id(record): reason for record, reason in unwritable.records}
        with self._state:
            if self._work is not None:
                outgoing = [
                    self._replacement(record, reasons[id(record)]) if id(record) in reasons else record
                    for record in self._work.outgoing
                ]
                self._work = replace(self._work, outgoing=outgoing)
