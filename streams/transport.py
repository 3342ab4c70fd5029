"""Faust's Kafka driver with what it has no setting for: which records it sees, what it commits, what it restores."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import aiokafka
import structlog
from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.identities import TopicIds
from streams.oldest_offsets import OldestOffsets
from streams.unread import UnreadByStream

_log = structlog.get_logger()
# How long the broker may hold a fetch that is not full: Faust has 1.5 s, for which a partition that was just resumed
# would wait. And from how many bytes on it does not: told of each record by itself, at 100 requests a second this
# process took a fifth of a core, and Kafka a sixth of what it used; nothing here is needed sooner than this.
_FETCH_WAIT_MS = 100
_FETCH_BYTES = 65_536
# What is read ahead of the agents, who look at about 9,000 records a second: one answer of so many bytes from each
# broker (or one batch, where that is larger), of which so many records are objects. By default aiokafka reads 50 MiB at
# once, up to 1 MiB of each partition, and Faust makes objects of all of them: with 240,000 records of 64 partitions to
# catch up with, this process grew from 57 to 257 MB, and stayed there.
AHEAD_BYTES = 1_048_576
AT_ONCE = 500
# A broker is asked again when all that it answered was taken, or after this: by default after 0.1 s whether or not.
_ASK_AGAIN_S = 60.0

Restore = Callable[[], Awaitable[None]]
Records = dict[TP, list[aiokafka.ConsumerRecord]]


class _Reader(aiokafka.AIOKafkaConsumer):  # type: ignore[misc]
    identities: TopicIds
    oldest: OldestOffsets
    unread: UnreadByStream

    async def start(self) -> None:
        """As aiokafka's own; that it then reads no further than one answer ahead has no setting."""
        await super().start()
        self._fetcher._prefetch_backoff = _ASK_AGAIN_S  # noqa: SLF001

    def rejoin(self) -> None:
        """Has the group's partitions assigned anew."""
        self._coordinator.request_rejoin()

    async def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Says beside each offset which topic it is of; those of a deleted topic are not needed any more."""
        stamped = {tp: OffsetAndMetadata(of.offset, self.identities.stamp(tp.topic)) for tp, of in offsets.items()}
        try:
            await super().commit(stamped)
        except UnknownTopicOrPartitionError as error:
            _log.warning("offsets of a deleted topic not committed", reason=str(error))

    def give_back(self, records: Records) -> None:
        """These are to be read again."""
        for tp in records.keys() & self.assignment():
            self.seek(tp, records[tp][0].offset)

    async def seek_to_committed(self) -> dict[TopicPartition, int]:
        """Where each partition is read from: 0 is its beginning, as for offsets of a topic that is gone."""
        offsets = await self._coordinator.fetch_committed_offsets(self.assignment())
        places = dict.fromkeys(self.assignment(), 0)
        for tp, of in offsets.items():
            if self.identities.fits(tp.topic, of.metadata):
                places[tp] = of.offset
            else:
                _log.warning("not this topic's offset", topic=tp.topic, partition=tp.partition, offset=of.offset)
        for tp, offset in places.items():
            self.seek(tp, offset)  # those never committed too: what was fetched before this is thrown away
        self.oldest.rewound()
        return places


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc] # Faust is not followed by mypy
    consumer: _Consumer

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        """As Faust's own, but answers of aborted transactions are not seen.

        Faust reads committed records only with its `exactly_once`, which duplicates and crashes at rebalances
        (faust-streaming issues 177, 323, 517).
        """
        conf = self.app.conf
        reader = _Reader(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            enable_auto_commit=False,
            auto_offset_reset=conf.consumer_auto_offset_reset,
            max_poll_records=AT_ONCE,
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_bytes=AHEAD_BYTES,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            fetch_min_bytes=_FETCH_BYTES,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            isolation_level="read_committed",
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )
        reader.identities, reader.oldest = self.consumer.identities, self.consumer.oldest
        reader.unread = UnreadByStream()
        return reader

    async def _fetch_records(self, *args: Any, **named: Any) -> Records:
        """Notes what was read before anybody can ask this thread for the position, which is behind it by then."""
        records: Records = await super()._fetch_records(*args, **named)
        if not self.consumer.flow_active:  # partitions are being assigned; Faust would drop these, and never ask again
            self._ensure_consumer().give_back(records)
            return {}
        await self._ensure_consumer().unread.read(self._ensure_consumer(), records)
        oldest = self.consumer.oldest
        if any(oldest.was_fetched(tp, of[0].offset) for tp, of in records.items()):
            _log.warning("offsets begin again, and so does the reading", partitions=sorted(records))
            self.rejoin()
            return {}
        for tp, of in records.items():
            oldest.fetched(tp, of[-1].offset)
        return records

    def verify_event_path(self, now: float, tp: TP) -> None:
        """As Faust's own, which looks for what is slow; a partition whose position is being looked up is not."""
        with contextlib.suppress(AssertionError):  # aiokafka's; it would end the stream processor
            super().verify_event_path(now, tp)

    def rejoin(self) -> None:
        """Has the partitions assigned anew, and with that all state read back; may be called in any thread."""
        self.thread_loop.call_soon_threadsafe(self._ensure_consumer().rejoin)


class _Consumer(driver.Consumer):  # type: ignore[misc]
    oldest: OldestOffsets
    identities: TopicIds

    def rejoin(self) -> None:
        """Begins anew with what Kafka has now."""
        self._thread.rejoin()

    async def step(self) -> None:
        """Returns once the loop of the thread that reads has made a step, never if that thread hangs or has ended."""
        own, made = asyncio.get_running_loop(), asyncio.Event()
        if not self._thread.thread_loop.is_closed():
            self._thread.thread_loop.call_soon_threadsafe(own.call_soon_threadsafe, made.set)
        await made.wait()

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:  # noqa: ARG002 - Faust's own count
        """What the oldest says, instead of what Faust has acked."""
        offsets = {TP(*partition): offset for partition, offset in self.oldest.committable().items()}
        return {tp: offset for tp, offset in offsets.items() if self._should_commit(tp, offset)}


class _State(TableManager):  # type: ignore[misc]
    """Stands where Faust restores tables, and restores our state there: after every assignment, before any record.

    Whoever was assigned these partitions before can commit nothing any more by then, and had written everything
    that it did commit; so what is read now is all there is.
    """

    restore: Restore

    async def on_start(self) -> None:
        """As Faust's own, without the second it waits for tables to be declared."""
        await self._update_channels()
        await self.recovery.start()

    async def on_rebalance(self, *args: Any, **named: Any) -> None:
        """Returns when the state is there; Faust then resumes the streams at their committed offsets."""
        await type(self).restore()
        await super().on_rebalance(*args, **named)


def state(restore: Restore) -> type[TableManager]:
    """The table manager that awaits `restore`."""
    return type("State", (_State,), {"restore": staticmethod(restore)})


def transport(app: Any, oldest: OldestOffsets, identities: TopicIds) -> driver.Transport:
    """The driver for this app, committing by this oldest, offsets of these topics."""
    consumer = type("Consumer", (_Consumer,), {"oldest": oldest, "identities": identities})
    kind = type("Transport", (driver.Transport,), {"Consumer": consumer})
    built: driver.Transport = kind(app.conf.broker_consumer, app)
    return built
