"""Copies a topic into a store of this host, for as long as the process lives."""

from __future__ import annotations

import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar, cast

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from consumers.following import bulletin
from schemas.codec import Codec
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.deleted import Unread
from standfast.core.kafka_errors import error_of, is_partition_end
from standfast.core.processes import role_word
from standfast.core.settings import Settings
from standfast.core.topics.topic_file import damaged
from standfast.core.topics.topic_source import Source, source_of

_log = structlog.get_logger()
_AT_ONCE = 1000  # records of one transaction
_TELL_S = 1.0  # how often the bulletin is written
_ASK_S = 5.0  # how often Kafka is asked whether the topic is still the same
_ANSWER_S = 2.0
_PAUSE_S = 2.0  # before a failure is retried

C_contra = TypeVar("C_contra", contravariant=True)
C = TypeVar("C")


class Following(Protocol[C_contra]):
    """The writer's side of a store: `TopicFile` with what the topic's records become."""

    path: Path

    @property
    def positions(self) -> dict[int, int]: ...

    @property
    def size(self) -> int: ...

    def write(self, changes: Iterable[C_contra], positions: dict[int, int]) -> None: ...

    def touch(self) -> bool: ...

    def limit_wal(self) -> None: ...

    def close(self) -> None: ...


class TopicCopier(ABC, Generic[C]):
    """Keeps a store up to date with the topic `name`; `run` blocks until `stop` is set.

    Args:
        stores: the folder of the stores and the bulletin.
    """

    name: ClassVar[str]

    def __init__(self, settings: Settings, codec: Codec, stores: Path, stop: threading.Event) -> None:
        self._settings = settings
        self._codec = codec
        self._stores = stores
        self._stop = stop
        self._topic = settings.kafka.topic_prefix + self.name
        self._admin = AdminClient(clients.base(settings, f"{self.name}-admin"))
        self._unread = Unread(self._topic)
        self._logged = ""

    @abstractmethod
    def _opened(self, identity: str) -> Following[C]:
        """The store of the topic with this identity; all others are removed."""

    @abstractmethod
    def _change(self, partition: int, message: Consumed) -> C | None:
        """What a record changes; None for one that cannot be read, which is logged."""

    @abstractmethod
    def _measured(self, store: Following[C], *, complete: bool) -> None:
        """Exports the state of the store as metrics."""

    def _act(self, store: Following[C], *, complete: bool, news: bool) -> None:
        """Does what follows from the store, after each look at the topic; `news`: there were new records."""
        del store, complete, news

    def _remedy(self, reason: str) -> str:
        """What to do against a failure, to be logged behind it."""
        del reason
        return ""

    def run(self) -> None:
        """Follows the topic. A failure is logged once and retried: a full disk may get room, and Kafka come back."""
        while not self._stop.is_set():
            role_word.beat()
            try:
                self._follow(self._source())
                self._logged = ""
            except (KafkaException, sqlite3.Error, OSError) as error:
                reason = error_of(error).str() if isinstance(error, KafkaException) else str(error)
                if reason != self._logged:
                    _log.warning(f"{self.name} cannot be followed, trying again", reason=reason + self._remedy(reason))
                self._logged = reason
                self._stop.wait(_PAUSE_S)

    def _source(self) -> Source:
        return source_of(self._admin, self._topic, _ANSWER_S)

    def _follow(self, source: Source) -> None:
        """Returns when the topic has been replaced or has more partitions, or a worker reports a damaged store."""
        consumer = Consumer({**clients.follower(self._settings, self.name), "enable.partition.eof": True})
        store: Following[C] | None = None
        try:
            store = self._opened(source.identity)
            self._read_on(consumer, store, source)
        except sqlite3.DatabaseError as error:
            if store is None or not isinstance(error, sqlite3.OperationalError):
                self._give_up(source, error)
            raise
        finally:
            consumer.close()
            if store is not None:
                store.close()

    def _give_up(self, source: Source, error: sqlite3.DatabaseError) -> None:
        _log.error("the store is damaged; its topic is read again", topic=self._topic, error=str(error))
        for path in self._stores.glob(f"{source.identity}.*.db"):
            damaged(path).touch()

    def _read_on(self, consumer: Consumer, store: Following[C], source: Source) -> None:
        positions = store.positions
        partitions = range(source.partitions)
        consumer.assign([TopicPartition(self._topic, number, positions.get(number, 0)) for number in partitions])
        self._unread.forget(partitions)
        behind = set(partitions)
        began = asked_at = time.monotonic()
        told_at = 0.0
        while not self._stop.is_set():
            role_word.beat()
            messages = cast("list[Consumed]", consumer.consume(_AT_ONCE, 0.1))
            self._unread.read(consumer, messages)
            was_behind = bool(behind)
            behind -= self._take(store, messages)
            if was_behind and not behind:
                seconds = round(time.monotonic() - began, 2)
                _log.info("the topic is read to its end", topic=self._topic, stored=store.size, seconds=seconds)
            now = time.monotonic()
            if now - told_at > _TELL_S or (was_behind and not behind):
                if not self._tell(store, complete=not behind):
                    return
                told_at = now
            self._act(store, complete=not behind, news=bool(messages))
            if now - asked_at > _ASK_S:
                if self._is_another(source):
                    return
                asked_at = time.monotonic()

    def _take(self, store: Following[C], messages: list[Consumed]) -> set[int]:
        """Writes the records to the store; returns the partitions whose end was reached."""
        at_end, changes, positions = set[int](), list[C](), dict[int, int]()
        for message in messages:
            role_word.beat()  # decoding a record may wait for the schema registry
            partition, error = message.partition(), message.error()
            if error is None:
                change = self._change(partition, message)
                changes += [change] if change is not None else []
                positions[partition] = message.offset() + 1
            elif is_partition_end(error):
                at_end.add(partition)
            else:
                _log.warning("the topic is held up", topic=self._topic, reason=error.str())
        if positions:
            store.write(changes, positions)
        return at_end

    def _tell(self, store: Following[C], *, complete: bool) -> bool:
        """Writes the bulletin; returns False if a new store must be begun.

        While this follower catches up, the bulletin of one that was complete is left: workers use it until it is 15 s
        old.
        """
        if not store.touch() or damaged(store.path).exists():
            return False
        last = bulletin.read(self._stores)
        if complete or last is None or last.store != store.path.name or not last.complete:
            bulletin.write(self._stores, bulletin.Bulletin(store.path.name, complete, time.time_ns() // 1_000_000))
        self._measured(store, complete=complete)
        store.limit_wal()
        return True

    def _is_another(self, source: Source) -> bool:
        try:
            return self._source() != source
        except KafkaException:
            return False  # Kafka does not answer; the store is still valid
