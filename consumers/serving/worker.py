"""The loop of one worker: poll, pick, batch, commit; and what happens to it when partitions move or it must stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import structlog
from confluent_kafka import Consumer

from consumers.channel.messages import Cleared, Done, LoadReport, Waiting
from consumers.commit.committer import Committer
from consumers.commit.offsets import Offsets
from consumers.commit.work import Delivery, Work
from consumers.service import Service
from consumers.serving.batches import Batches
from consumers.serving.meter import Meter
from consumers.serving.pace import Pace
from consumers.serving.partition_reader import PartitionReader, Places
from consumers.serving.selection import Limits, Picked, pick
from standfast.core import backoff, telemetry

_log = structlog.get_logger()
_POLL_S = 0.1
_BULK_POLL_S = 0.005  # how long a bulk batch waits for an interactive request that may come first
_BULK_EVERY_S = 1.0  # bulk requests wait for a worker without work, but not for ever: one of them gets in each second
_REPORT_EVERY_S = 1.0
# Longest wait in one go for the last batch's commit; after it the worker polls, paused, so that a rebalance can go on.
_COMMIT_WAIT_S = 1.0
_RENEW_S = 0.03
_WINDOW_BATCHES = 4
_NEWEST_WINDOW = 4096

Partitions = dict[str, list[int]]


class Worker:
    """Serves one service under one identity until told to stop.

    Interactive requests pass bulk ones: those come through a consumer and a group of their own, and have what time is
    left over, in batches so short that an interactive request hardly waits for them.

    Args:
        consumer: not yet subscribed, with a static group membership.
        bulk: makes the consumer of bulk requests, a second after the interactive ones are served.
        tell: told the partitions each time they change, the load once a second, when it waits for Kafka, and when a
            successor may begin.
        stop_within_s: the one deadline for every step of a revoke, and for those of a stop.
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
        self._stop_within_s = stop_within_s
        window = _NEWEST_WINDOW if service.newest_first else _WINDOW_BATCHES * service.batch
        self._reader = self._reader_of(consumer, service.requests, window)
        self._bulk: PartitionReader | None = None
        self._bulk_due = time.monotonic() + _BULK_EVERY_S
        self._pace, self._bulk_pace = Pace(service), Pace(service)
        self._meter = Meter()
        self._stopping = threading.Event()
        self._leaving = False
        self._committer = Committer(delivery, self._delivered, batches.instead)
        self._offsets = Offsets()
        self._report_due = time.monotonic() + _REPORT_EVERY_S

    def stop(self) -> None:
        """Asks the loop to end after the batch in hand; returns at once."""
        self._stopping.set()

    def leave(self) -> None:
        """The same, and others are to have its partitions at once."""
        self._leaving = True
        self._stopping.set()

    def serve(self) -> bool:
        """Blocks until stopped; nothing polled is left unanswered or answered twice. Raises Fenced.

        Returns whether it has left the group; else its place there is kept for a successor.
        """
        self._reader.join(impatient=True)
        while not self._stopping.is_set():
            reader, picked = self._next()
            if picked.records:
                self._answer(reader, picked)
            else:
                self._is_delivered(0)  # with nothing to do the last batch's offsets are not left waiting for the next
            self._report()
        return self._finish()

    def _next(self) -> tuple[PartitionReader, Picked]:
        """What is there now, up to a batch. Waits for a first record only: never for one that may not come."""
        self._reader.fill(self._patience())
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

    def _patience(self) -> float:
        if self._reader.waiting:
            return 0.0
        return _BULK_POLL_S if self._bulk is not None and self._bulk.waiting else _POLL_S

    def _pick(self, reader: PartitionReader, most: int) -> Picked:
        interactive = reader is self._reader
        self._batches.ahead_ms, keep = 0.0, None
        if interactive and len(reader.waiting) > 1:
            most, self._batches.ahead_ms = self._pace.next_batch(
                len(reader.waiting), self._batches.allowance_ms(reader.waiting[0])
            )
        if interactive and self._service.newest_first:
            keep = self._pace.keep
        return pick(reader.waiting, Limits(most, self._service.batch_bytes), self._batches.late, keep)

    def _reader_of(self, consumer: Consumer, topic: str, window: int) -> PartitionReader:
        return PartitionReader(
            consumer, topic, window, self._settle, self._moved, self._batches.reading, self._batches.waits
        )

    def _open_bulk(self) -> PartitionReader:
        """After the first second, which is the takeover's."""
        window = _WINDOW_BATCHES * self._service.batch
        self._bulk = self._reader_of(self._make_bulk(), self._service.bulk_requests, window)
        self._bulk.join()
        return self._bulk

    def _answer(self, reader: PartitionReader, picked: Picked) -> None:
        began = time.perf_counter()
        self._batches.tally(reader.topic).released(picked.reason)
        self._committer.announce(reader.owed(picked.records))
        work = self._batches.work(picked.records, picked.shed)
        ready = time.perf_counter()
        self._wait_for_committer()
        self._batches.tally(reader.topic).waited(time.perf_counter() - ready)
        # Membership may have changed while the last commit was waited for: the present one goes with this batch.
        ours = replace(
            reader.still_ours(work),
            membership=reader.consumer.consumer_group_metadata(),
            computed=picked.computed,
            backlog_since=began if reader is self._reader and picked.reason != "drained" else None,
        )
        self._committer.submit(ours)
        if not self._delivery.commits_offsets:
            self._offsets.submitted(ours)
        if reader is self._reader:
            self._meter.took(len(picked.records), picked.refused, time.perf_counter() - began)
        if picked.reason != "drained":
            pace = self._bulk_pace if reader is self._bulk else self._pace
            pace.took(picked.computed, time.perf_counter() - began)

    def _idle(self, timeout: float) -> bool:
        """Waits for the batch in hand to be delivered; commits its offsets where the delivery does not."""
        if not self._committer.idle(timeout):
            return False
        self._commit_offsets()
        return True

    def _commit_offsets(self) -> bool:
        return self._offsets.commit({reader.topic: reader.consumer for reader in self._readers})

    def _is_delivered(self, within_s: float) -> bool:
        """Waits for the batch in hand. After a rebalance Kafka refuses it until it is given the new membership."""
        deadline = time.monotonic() + within_s
        while not self._idle(min(_RENEW_S, within_s)):
            self._renew()
            if time.monotonic() > deadline:
                return False
        return True

    def _wait_for_committer(self) -> None:
        if self._is_delivered(_COMMIT_WAIT_S):
            return
        _log.warning("the last batch is not committed yet; polling is paused", partitions=len(self._reader.owned))
        since, told = time.strftime("%H:%M:%S UTC", time.gmtime()), ""
        while not self._idle(0.05):
            told = self._tell_waiting(since, told)
            for reader in self._readers:
                reader.stand_still()
            self._renew()
        for reader in self._readers:
            reader.go_on()
        self._tell(Waiting(""))

    def _tell_waiting(self, since: str, told: str) -> str:
        """Says what Kafka said last, each time that it says something else."""
        why = self._committer.trouble or "no answer yet"
        if why != told:
            self._tell(Waiting(f"has waited since {since} for Kafka to take its last batch: {why}"))
        return why

    def _renew(self) -> None:
        self._committer.renew({reader.topic: reader.consumer.consumer_group_metadata() for reader in self._readers})

    @property
    def _readers(self) -> list[PartitionReader]:
        return [self._reader] if self._bulk is None else [self._reader, self._bulk]

    def _finish(self) -> bool:
        """Stops under one deadline: 1. the commit in hand; 2. its place in the group, if it leaves.

        No consumer is closed: a member that stays has nothing to tell Kafka, and its process ends now.
        """
        deadline = time.monotonic() + self._stop_within_s
        delivered = self._is_delivered(self._stop_within_s)
        while delivered and not self._commit_offsets() and time.monotonic() < deadline:
            backoff.wait(1)
        if not delivered:
            _log.warning("stopped before the last batch was committed; its requests will be read again")
        elif not self._leaving:
            self._tell(Done())  # the end of the process takes 5 ms and more, which nobody need wait for
        left = self._leaving and {reader.leave(self._stop_within_s) for reader in self._readers} == {True}
        self._committer.close()
        return left

    def _settle(self, gone: Places, lost: bool) -> None:
        """Before partitions are given up, what is owed to them is committed; or given up, if they are lost already."""
        if lost or not self._is_delivered(self._stop_within_s):
            self._committer.abandon(gone)
        self._offsets.forget(gone)

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
        if work.backlog_since is not None:
            self._pace.answered(work.computed, time.perf_counter() - work.backlog_since)

    def _report(self) -> None:
        if time.monotonic() < self._report_due:
            return
        self._report_due = time.monotonic() + _REPORT_EVERY_S
        for reader in self._readers:
            lags = reader.lags()
            for (topic, partition), lag in lags.items():
                telemetry.LAG.labels(topic, str(partition)).set(lag)
            if reader is self._reader:
                self._tell(self._meter.load(reader, lags))
