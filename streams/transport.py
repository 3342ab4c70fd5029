"""Faust's Kafka driver, changed where it has no setting: isolation level, committed offsets, restored state."""

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
# fetch.max.wait.ms and fetch.min.bytes. Faust's 1.5 s would delay a partition that was just resumed for that long. With
# a fetch for each record, at 100 requests a second, this process took a fifth of a core and a sixth of Kafka's CPU time
# was for it; no derived view is needed sooner than after 0.1 s.
_FETCH_WAIT_MS = 100
_FETCH_BYTES = 65_536
# Read-ahead: one fetch response of AHEAD_BYTES from each broker (or one batch, if that is larger), of which AT_ONCE
# records are Python objects. Agents process about 9,000 records a second. By default aiokafka fetches 50 MiB, up to
# 1 MiB of each partition, and Faust makes objects of all records: with a lag of 240,000 records in 64 partitions, this
# process grew from 57 to 257 MB, and stayed there.
AHEAD_BYTES = 1_048_576
AT_ONCE = 500
# aiokafka fetches from a broker again when the agents took all of its last response, or after this time. Its default of
# 0.1 s would fetch more while records wait.
_ASK_AGAIN_S = 60.0

Restore = Callable[[], Awaitable[None]]
Records = dict[TP, list[aiokafka.ConsumerRecord]]


class _Reader(aiokafka.AIOKafkaConsumer):  # type: ignore[misc]
    identities: TopicIds
    oldest: OldestOffsets
    unread: UnreadByStream

    async def start(self) -> None:
        """As aiokafka's own; then limits read-ahead to one response, for which aiokafka has no setting."""
        await super().start()
        self._fetcher._prefetch_backoff = _ASK_AGAIN_S  # noqa: SLF001

    def rejoin(self) -> None:
        """Makes the group rebalance, so that partitions are assigned again."""
        self._coordinator.request_rejoin()

    async def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Commits each offset with its topic's id as metadata; offsets of deleted topics are logged and dropped."""
        stamp = self.identities.stamp
        stamped = {tp: OffsetAndMetadata(to_commit.offset, stamp(tp.topic)) for tp, to_commit in offsets.items()}
        try:
            await super().commit(stamped)
        except UnknownTopicOrPartitionError as error:
            _log.warning("offsets of a deleted topic not committed", reason=str(error))

    def give_back(self, records: Records) -> None:
        """Seeks back to the first of these records, so that they are fetched again."""
        for tp in records.keys() & self.assignment():
            self.seek(tp, records[tp][0].offset)

    async def seek_to_committed(self) -> dict[TopicPartition, int]:
        """Seeks to the committed offsets and returns them; 0 where none, or one of a deleted topic, was committed."""
        offsets = await self._coordinator.fetch_committed_offsets(self.assignment())
        positions = dict.fromkeys(self.assignment(), 0)
        for tp, committed in offsets.items():
            if self.identities.fits(tp.topic, committed.metadata):
                positions[tp] = committed.offset
            else:
                _log.warning("not this topic's offset", topic=tp.topic, partition=tp.partition, offset=committed.offset)
        for tp, offset in positions.items():
            self.seek(tp, offset)  # partitions without a commit too: a seek drops what was fetched before
        self.oldest.rewound()
        return positions


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc] # Faust is not followed by mypy
    consumer: _Consumer

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        """As Faust's own, but with `read_committed`, so that answers of aborted transactions are not read.

        Faust reads with `read_committed` only under `exactly_once`, which makes duplicates and crashes at rebalances
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

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Records:
        """Notes the fetched offsets before others can ask this thread for the position, which is past them by then."""
        records: Records = await super()._fetch_records(*args, **kwargs)
        if not self.consumer.flow_active:  # a rebalance: Faust would drop these records and never fetch them again
            self._ensure_consumer().give_back(records)
            return {}
        await self._ensure_consumer().unread.read(self._ensure_consumer(), records)
        oldest = self.consumer.oldest
        if any(oldest.was_fetched(tp, record_list[0].offset) for tp, record_list in records.items()):
            _log.warning("offsets begin again, and so does the reading", partitions=sorted(records))
            self.rejoin()
            return {}
        for tp, record_list in records.items():
            oldest.fetched(tp, record_list[-1].offset)
        return records

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's check for slow partitions, without the AssertionError for one whose position is being looked up."""
        with contextlib.suppress(AssertionError):  # raised by aiokafka; it would end the stream processor
            super().verify_event_path(now, tp)

    def rejoin(self) -> None:
        """Makes the group rebalance, after which all state is read back; may be called from any thread."""
        self.thread_loop.call_soon_threadsafe(self._ensure_consumer().rejoin)


class _Consumer(driver.Consumer):  # type: ignore[misc]
    oldest: OldestOffsets
    identities: TopicIds

    def rejoin(self) -> None:
        """Makes the group rebalance, after which all state is read back from Kafka."""
        self._thread.rejoin()

    async def step(self) -> None:
        """Returns once the event loop of the fetching thread ran a callback; never if that thread hangs or ended."""
        own_loop, step_made = asyncio.get_running_loop(), asyncio.Event()
        if not self._thread.thread_loop.is_closed():
            self._thread.thread_loop.call_soon_threadsafe(own_loop.call_soon_threadsafe, step_made.set)
        await step_made.wait()

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:  # noqa: ARG002 - Faust's partitions with acks
        """The offsets of `OldestOffsets`, instead of those that Faust has acked."""
        offsets = {TP(*partition): offset for partition, offset in self.oldest.committable().items()}
        return {tp: offset for tp, offset in offsets.items() if self._should_commit(tp, offset)}


class _State(TableManager):  # type: ignore[misc]
    """Restores our state where Faust restores tables: after every assignment, before any record is processed.

    The previous owner of the partitions can no longer commit by then, and had written all records derived from the
    offsets that it committed. So the state that is read is complete.
    """

    restore: Restore

    async def on_start(self) -> None:
        """As Faust's own, without its wait of 1 s for tables to be declared."""
        await self._update_channels()
        await self.recovery.start()

    async def on_rebalance(self, *args: Any, **kwargs: Any) -> None:
        """Returns when the state is restored; Faust then resumes the streams at their committed offsets."""
        await type(self).restore()
        await super().on_rebalance(*args, **kwargs)


def state(restore: Restore) -> type[TableManager]:
    """A table manager class that awaits `restore` after every assignment."""
    return type("State", (_State,), {"restore": staticmethod(restore)})


def transport(app: Any, oldest: OldestOffsets, identities: TopicIds) -> driver.Transport:
    """The driver for this app, which commits the offsets of `oldest` with the topic ids of `identities`."""
    consumer = type("Consumer", (_Consumer,), {"oldest": oldest, "identities": identities})
    kind = type("Transport", (driver.Transport,), {"Consumer": consumer})
    built: driver.Transport = kind(app.conf.broker_consumer, app)
    return built
