"""Commits one batch while the next is being computed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import structlog
from confluent_kafka import KafkaException

from consumers.answers import Outgoing
from consumers.transactions import Delivery, TopicPartitionKey, Unwritable, Work, backoff

_log = structlog.get_logger()


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
        self._work: Work | None = None
        self._lost: set[TopicPartitionKey] = set()
        self._failure: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> None:
        """Hands over one batch's work; only when `idle`."""
        with self._state:
            self._raise_failure()
            if self._work is not None:
                raise RuntimeError("the last batch is still being committed")
            self._lost.clear()
            self._work = work
            self._state.notify_all()

    def idle(self, timeout: float) -> bool:
        """Waits until nothing is left to deliver; False after `timeout` seconds. Raises what ended the thread."""
        with self._state:
            done = self._state.wait_for(lambda: self._work is None or self._failure is not None, timeout)
            self._raise_failure()
            return done

    def renew(self, membership: object) -> None:
        """Puts the consumer's present group metadata in the place of that which the work in hand was given."""
        with self._state:
            if self._work is not None:
                self._work = replace(self._work, membership=membership)

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
            self._state.wait_for(lambda: self._work is not None or self._closed)
            return not self._closed

    def _deliver(self) -> None:
        attempt = 0
        began = time.perf_counter()
        while True:
            with self._state:
                left = self._work.without(self._lost) if self._work is not None else None
                if self._closed or left is None or not left.offsets:
                    return
            try:
                self._delivery.deliver(left)
            except Unwritable as refused:
                _log.warning("records that kafka will never take are replaced", error=str(refused))
                self._replace(refused)
            except KafkaException as exception:
                _log.warning("batch not committed, trying again", error=str(exception.args[0]), attempt=attempt)
            else:
                self._delivered(left, time.perf_counter() - began)
                return
            backoff(attempt)
            attempt += 1

    def _replace(self, refused: Unwritable) -> None:
        reasons = {id(one): reason for one, reason in refused.records}
        with self._state:
            if self._work is not None:
                outgoing = [
                    self._instead(one, reasons[id(one)]) if id(one) in reasons else one for one in self._work.outgoing
                ]
                self._work = replace(self._work, outgoing=outgoing)
