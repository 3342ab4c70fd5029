"""One worker's loop: poll, pick a batch, compute it, commit it; how it gives up partitions and how it stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import structlog
from confluent_kafka import Consumer, KafkaException

from consumers.channel.messages import Cleared, Done, LoadReport, Waiting
from consumers.commit.committer import Committer
from consumers.commit.offsets import Offsets
from consumers.commit.work import Delivery, Work
from consumers.service import Service
from consumers.serving.batches import Batches
from consumers.serving.meter import Meter
from consumers.serving.pace import Pace
from consumers.serving.partition_reader import PartitionKeys, PartitionReader
from consumers.serving.selection import Limits, Picked, pick
from standfast.core import backoff, telemetry

_log = structlog.get_logger()
_POLL_S = 0.1  # the longest poll of a worker that has nothing to do
_SHORT_POLL_S = 0.005  # the same while bulk requests wait, before they are computed, or work between batches
_BULK_EVERY_S = 1.0  # bulk requests yield to interactive ones, but some are computed at least this often
_REPORT_EVERY_S = 1.0
# The longest wait for the last batch's commit without polling. After it the worker polls, with its partitions paused,
# so that a rebalance can go on.
_COMMIT_WAIT_S = 1.0
_RENEW_S = 0.03  # how often an uncommitted batch is given the current group metadata
_WINDOW_BATCHES = 4  # batches of records that wait here; Kafka keeps the others
_NEWEST_WINDOW = 4096  # records that wait here with `order = newest`, where the oldest of them are refused

Partitions = dict[str, list[int]]


class Worker:
    """Serves one service under one identity until told to stop.

    Interactive requests go before bulk ones. Bulk requests come through a consumer and a group of their own and get the
    time that is left over, in batches of about 20 ms, so that an interactive request hardly waits for them.

    Args:
        consumer: not yet subscribed, with a static group membership.
        bulk: makes the consumer of bulk requests; called when the worker is a second old.
        tell: called with the partitions each time they change, with the load once a second, when the worker waits for
            Kafka, when suspected records are committed, and when a successor may begin.
        stop_within_s: one deadline for all steps of a revoke together, and one for all steps of a stop.
    """

    def __init__(
        self,
        service: Service,
        consumer: Consumer,
        bulk: Callable[[], Consumer],
        delivery: Delivery,
        batches: Batches,
        tell: Callable[[Partitions | LoadReport | Waiting | Done | Cleared], None],
        stop_within_s: float,
    ) -> None:
        self._service = service
        self._make_bulk = bulk
        self._delivery = delivery
        self._batches = batches
        self._tell = tell
        self._step: Callable[[], None] = lambda: None
        self._stop_within_s = stop_within_s
        window = _NEWEST_WINDOW if service.newest_first else _WINDOW_BATCHES * service.batch
        self._reader = self._reader_of(consumer, service.requests, window)
        self._bulk: PartitionReader | None = None
        self._bulk_due = time.monotonic() + _BULK_EVERY_S
        self._pace, self._bulk_pace = Pace(service), Pace(service)
        self._meter = Meter()
        self._stopping = threading.Event()
        self._recreated = threading.Event()
        self._leaving = False
        self._more = False
        self._told_refusal = ""
        self._committer = Committer(delivery, self._delivered, batches.replacement)
        self._offsets = Offsets()
        self._report_due = time.monotonic() + _REPORT_EVERY_S

    def stop(self) -> None:
        """Asks the loop to end after the current batch; returns at once."""
        self._stopping.set()

    def leave(self) -> None:
        """The same, but the worker also leaves the group, so that other workers get its partitions at once."""
        self._leaving = True
        self._stopping.set()

    def topic_recreated(self) -> None:
        """Tells it that a request topic was deleted and made again; returns at once."""
        self._recreated.set()

    def serve(self, step: Callable[[], None], between: Callable[[bool], bool]) -> bool:
        """Blocks until stopped; no record polled is left unanswered or answered twice. Raises Fenced.

        Returns whether the worker has left the group; if not, its static membership is kept for a successor.

        Args:
            step: called with each step of the loop, so that the supervisor sees that the loop goes on.
            between: called before each batch, with whether requests wait, for other work of a few milliseconds; returns
                whether there is more of it.
        """
        self._step = step
        self._reader.join(impatient=True)
        while not self._stopping.is_set():
            self._step()
            self._more = between(bool(self._reader.waiting))
            reader, picked = self._next()
            if picked.records:
                self._answer(reader, picked)
            else:
                self._is_delivered(0)  # commits the last batch's offsets: no next batch is there to do it
            self._report()
        return self._finish()

    def _next(self) -> tuple[PartitionReader, Picked]:
        """The records that are here, up to a batch. Waits for a first record, never for more to fill the batch."""
        self._reader.fill(self._poll_timeout_s())
        overdue = time.monotonic() > self._bulk_due
        if self._reader.waiting and not overdue:
            return self._reader, self._pick(self._reader, self._service.batch)
        bulk = self._open_bulk() if overdue and self._bulk is None else self._bulk
        if bulk is not None:
            self._bulk_due = time.monotonic() + _BULK_EVERY_S
            bulk.fill(0)
            if bulk.waiting:
                return bulk, self._pick(bulk, 1 if self._reader.waiting else self._bulk_pace.bulk)
        return self._reader, self._pick(self._reader, self._service.batch)

    def _poll_timeout_s(self) -> float:
        if self._reader.waiting:
            return 0.0
        return _SHORT_POLL_S if self._more or (self._bulk is not None and self._bulk.waiting) else _POLL_S

    def _pick(self, reader: PartitionReader, max_records: int) -> Picked:
        interactive = reader is self._reader
        self._batches.ahead_ms, keep = 0.0, None
        if interactive and len(reader.waiting) > 1:
            max_records, self._batches.ahead_ms = self._pace.next_batch(
                len(reader.waiting), self._batches.allowance_ms(reader.waiting[0])
            )
        if interactive and self._service.newest_first:
            keep = self._pace.keep
        return pick(reader.waiting, Limits(max_records, self._service.batch_bytes), self._batches.late, keep)

    def _reader_of(self, consumer: Consumer, topic: str, window: int) -> PartitionReader:
        return PartitionReader(
            consumer, topic, window, self._settle, self._moved, self._batches.reading, self._batches.waits
        )

    def _open_bulk(self) -> PartitionReader:
        """Joins the group of bulk requests; not in the first second, which belongs to the takeover."""
        window = _WINDOW_BATCHES * self._service.batch
        self._bulk = self._reader_of(self._make_bulk(), self._service.bulk_requests, window)
        self._bulk.join()
        return self._bulk

    def _answer(self, reader: PartitionReader, picked: Picked) -> None:
        began = time.perf_counter()
        self._batches.tally(reader.topic).released(picked.reason)
        self._committer.announce(reader.offsets_after(picked.records))
        work = self._batches.work(picked.records, picked.shed)
        self._step()
        ready = time.perf_counter()
        self._wait_for_committer()
        self._batches.tally(reader.topic).waited(time.perf_counter() - ready)
        # The group may have rebalanced during that wait: this batch goes with the current membership.
        owned = replace(
            reader.without_revoked(work),
            membership=reader.consumer.consumer_group_metadata(),
            computed=picked.computed,
            picked_at=began if reader is self._reader else None,
            drained=picked.reason == "drained",
        )
        self._committer.submit(owned)
        if not self._delivery.commits_offsets:
            self._offsets.submitted(owned)
        if reader is self._reader:
            self._meter.took(len(picked.records), picked.refused, time.perf_counter() - began)
        if picked.reason != "drained":
            pace = self._bulk_pace if reader is self._bulk else self._pace
            pace.took(picked.computed, time.perf_counter() - began)

    def _idle(self, timeout: float) -> bool:
        """Waits for the submitted batch to be delivered; commits its offsets where the delivery does not."""
        if not self._committer.idle(timeout):
            return False
        self._commit_offsets()
        return True

    def _commit_offsets(self) -> bool:
        return self._offsets.commit({reader.topic: reader.consumer for reader in self._readers})

    def _is_delivered(self, within_s: float) -> bool:
        """Waits for the submitted batch. After a rebalance Kafka refuses its offsets until it has the new membership.

        The membership is renewed every 30 ms for that reason. False: not delivered within `within_s` seconds.
        """
        deadline = time.monotonic() + within_s
        while not self._idle(min(_RENEW_S, within_s)):
            self._step()
            self._renew()
            if time.monotonic() > deadline:
                return False
        return True

    def _wait_for_committer(self) -> None:
        if self._is_delivered(_COMMIT_WAIT_S):
            return
        _log.warning("the last batch is not committed yet; polling is paused", partitions=len(self._reader.owned))
        since, reported = time.strftime("%H:%M:%S UTC", time.gmtime()), ""
        while not self._idle(0.05):
            self._step()
            reported = self._tell_waiting(since, reported)
            for reader in self._readers:
                reader.poll_paused()
            self._renew()
        for reader in self._readers:
            reader.resume()
        self._tell(Waiting(""))
        self._told_refusal = ""

    def _tell_waiting(self, since: str, reported: str) -> str:
        """Tells the supervisor Kafka's last error if it is not the one reported before; returns it."""
        error = self._committer.trouble or "no answer yet"
        if error != reported:
            self._tell(Waiting(f"has waited since {since} for Kafka to take its last batch: {error}"))
        return error

    def _renew(self) -> None:
        self._committer.renew({reader.topic: reader.consumer.consumer_group_metadata() for reader in self._readers})

    @property
    def _readers(self) -> list[PartitionReader]:
        return [self._reader] if self._bulk is None else [self._reader, self._bulk]

    def _finish(self) -> bool:
        """Stops under one deadline: 1. waits for the last commit; 2. leaves the group, if asked to.

        No consumer is closed: a static member that stays in the group has nothing to tell Kafka, and its process ends.
        """
        deadline = time.monotonic() + self._stop_within_s
        delivered = self._is_delivered(self._stop_within_s)
        while delivered and not self._commit_offsets() and time.monotonic() < deadline:
            backoff.wait(1)
        if not delivered:
            _log.warning("stopped before the last batch was committed; its requests will be read again")
        elif not self._leaving:
            self._tell(Done())  # the process takes 5 ms and more to end: a successor need not wait for that
        left = self._leaving and {reader.leave(self._stop_within_s) for reader in self._readers} == {True}
        self._committer.close()
        return left

    def _settle(self, revoked: PartitionKeys, lost: bool) -> None:
        """Waits for the last commit before partitions are given up; abandons their part if they are lost already."""
        if lost or not self._is_delivered(self._stop_within_s):
            self._committer.abandon(revoked)
        self._offsets.forget(revoked)

    def _moved(self) -> None:
        partitions: Partitions = {}
        for reader in self._readers:
            for topic, partition in sorted(reader.owned):
                partitions.setdefault(topic, []).append(partition)
        self._tell(partitions)

    def _delivered(self, work: Work, seconds: float) -> None:
        if cleared := self._batches.suspects.committed(work.offsets):
            self._tell(Cleared(cleared))
        self._batches.tally(next(iter(work.offsets))[0]).committed(work.timestamps_ms, seconds)
        if work.picked_at is not None:
            self._pace.answered(work.computed, time.perf_counter() - work.picked_at, drained=work.drained)

    def _seek_to_beginning(self) -> None:
        """Reads recreated topics from 0 where that answers nothing twice; logs where it would.

        Call it when everything that was read is committed or waits.
        """
        try:
            passed = {reader.topic: reader.seek_to_beginning() for reader in self._readers}
        except KafkaException as error:
            _log.debug("whether requests were passed over is not known yet", error=str(error))
            return
        self._recreated.clear()
        for topic, offsets in passed.items():
            if offsets:
                _log.warning(
                    "requests of a topic that was made again may be unanswered", topic=topic, offsets_before=offsets
                )

    def _report(self) -> None:
        if time.monotonic() < self._report_due:
            return
        self._report_due = time.monotonic() + _REPORT_EVERY_S
        refusals = ", and ".join(reader.refused for reader in self._readers if reader.refused)
        if self._told_refusal != refusals:
            self._told_refusal = refusals
            self._tell(Waiting(refusals))
        if self._recreated.is_set() and self._is_delivered(_RENEW_S):
            self._seek_to_beginning()
        for reader in self._readers:
            lags = reader.lags()
            for (topic, partition), lag in lags.items():
                telemetry.LAG.labels(topic, str(partition)).set(lag)
            if reader is self._reader:
                self._tell(self._meter.load(reader, lags))
