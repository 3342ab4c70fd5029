"""Commits one batch while the next is being computed, and prepares that one's transaction meanwhile."""

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
# A transaction that was prepared for a batch is given up after this: a batch may be computed for longer than a
# transaction may last.
_PREPARED_S = 2.0
# What Kafka says to a commit with a membership from before a rebalance.
_OUTDATED = {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS}


class Committer:
    """A thread that holds at most one batch's work and delivers it, trying again until it is done or given up.

    One batch and no more: a second one waiting would be computed only to be thrown away when the partitions move, and
    the requests that wait meanwhile make the next batch larger, which is what a busy worker wants.

    Args:
        delivery: how work is brought to Kafka.
        delivered: called in this thread with each work that has been delivered, and the seconds that took.
        instead: gives what to write in the place of a record that Kafka will never take, and why it is not taken.
    """

    def __init__(
        self,
        delivery: Delivery,
        delivered: Callable[[Work, float], None],
        instead: Callable[[Outgoing, str], Outgoing],
    ) -> None:
        self._delivery = delivery
        self._delivered = delivered
        self._instead = instead
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
        """Says which offsets the batch that is being computed will commit; returns at once. `submit` is to follow."""
        with self._state:
            self._announced = offsets
            self._state.notify_all()

    def submit(self, work: Work) -> None:
        """Hands over one batch's work; only when `idle`."""
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

        False after `timeout` seconds, or as soon as Kafka has refused the membership in use: `renew` is to follow.
        """
        with self._state:
            self._state.wait_for(lambda: self._work is None or self._outdated or self._failure is not None, timeout)
            self._raise_failure()
            return self._work is None

    def renew(self, memberships: Mapping[str, object]) -> None:
        """Puts the consumers' present group metadata, by topic, in the place of what the work in hand was given."""
        with self._state:
            if self._work is not None and self._work.offsets:
                topic = next(iter(self._work.offsets))[0]
                self._work = replace(self._work, membership=memberships[topic])
            self._outdated = False

    def abandon(self, partitions: Iterable[TopicPartitionKey]) -> None:
        """Gives up what came from partitions that are no longer ours: their next owner reads it again."""
        with self._state:
            self._lost.update(partitions)

    def close(self) -> None:
        """Ends the thread after the attempt in hand; what is not delivered then is left to the next owner."""
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
                    if self._work is None:  # and what comes a moment later is not to be dropped below
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
            except Unwritable as refused:
                _log.warning("records that kafka will never take are replaced", error=str(refused))
                self._replace(refused)
            except KafkaException as exception:
                attempt = self._refused(error_of(exception), attempt)
            else:
                self._delivered(left, time.perf_counter() - began)
                return
            backoff.wait(attempt)
            attempt += 1

    def _refused(self, error: KafkaError, attempt: int) -> int:
        """The attempt as the back-off is to count it: after a rebalance it is over as soon as we hear of it."""
        self.trouble = error.str()
        _log.warning("batch not committed, trying again", error=str(error), attempt=attempt)
        if error.code() not in _OUTDATED:
            return attempt
        with self._state:
            self._outdated = True
            self._state.notify_all()
        return min(attempt, 1)

    def _replace(self, refused: Unwritable) -> None:
        reasons = {id(one): reason for one, reason in refused.records}
        with self._state:
            if self._work is not None:
                outgoing = [
                    self._instead(one, reasons[id(one)]) if id(one) in reasons else one for one in self._work.outgoing
                ]
                self._work = replace(self._work, outgoing=outgoing)
