"""Reads the stream processor's state back when partitions are assigned: profiles, and the ends of published windows.

Blocking, with librdkafka, for two reasons: it reads `profiles` faster than Faust's own recovery, and Faust gives up at
once if Kafka does not answer yet.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.codec import Codec
from schemas.records import TrafficWindow
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import SchemaError, SettingsError, TopicError
from standfast.core.home import folder
from standfast.core.kafka_errors import error_of, is_partition_end
from standfast.core.settings import Settings
from standfast.core.topics.topic_source import source_of
from streams.identities import ids_of
from streams.kept import ProfileFile, ProfileKey, open_profile_file
from streams.names import Names

_log = structlog.get_logger()
_METADATA_TIMEOUT_S = 2.0
_RETRY_EVERY_S = 0.5
_TAIL_RECORDS = 500  # of each partition of `traffic`: enough for the last window of every topic in it
_REQUEST_TIMEOUT_S = 15.0
_RECORDS_AT_ONCE = 1000  # profiles written to the file in one transaction


@dataclass(frozen=True, slots=True)
class Restored:
    """The profiles, and for each topic the end of its last published window, in epoch milliseconds.

    `ends`: the next offset of each partition of `profiles`. `ids`: the topics' ids before reading began. `records`: the
    number of records of `profiles` that were read.
    """

    profile_file: ProfileFile
    ends: dict[int, int]
    published_until: dict[str, int]
    ids: dict[str, str]
    records: int


class Stopped(Exception):
    """`stop` was set before the state was read."""


def wait_for_topics(settings: Settings, names: Names, stop: threading.Event) -> None:
    """Returns once Kafka answers and all topics exist; logs what it waits for.

    Raises:
        Stopped: `stop` was set first.
        SettingsError: librdkafka refuses a `KAFKA_*` setting.
    """
    try:
        admin = AdminClient(clients.base(settings, "stream-start"))
    except KafkaException as error:
        raise SettingsError(f"Kafka's client refuses its settings: {error_of(error).str()}; correct KAFKA_*") from None
    last_reason = ""
    while not stop.is_set():
        reason = ""
        try:
            topics = admin.list_topics(timeout=_METADATA_TIMEOUT_S).topics
            partitions = {name: len(metadata.partitions) for name, metadata in topics.items()}
            missing = [name for name in names.all if not partitions.get(name)]
            reason = f"topics are missing: {', '.join(missing)}; `standfast topics` creates them" if missing else ""
        except KafkaException as error:
            reason = f"Kafka at {settings.kafka.bootstrap_servers} does not answer: {error_of(error).str()}"
        if not reason:
            return
        if reason != last_reason:
            _log.warning("waiting for kafka", reason=reason)
            last_reason = reason
        stop.wait(_RETRY_EVERY_S)
    raise Stopped


def read(settings: Settings, names: Names, stop: threading.Event) -> Restored:
    """The state that the topics have now. Tries until it can be read; raises Stopped if `stop` is set first."""
    last_reason = ""
    while not stop.is_set():
        try:
            return _read(settings, names, stop)
        except (KafkaException, TopicError, sqlite3.Error, OSError) as error:
            if str(error) != last_reason:
                _log.warning("state cannot be read back yet, trying again", reason=str(error))
            last_reason = str(error)
            stop.wait(_RETRY_EVERY_S)
    raise Stopped


def _read(settings: Settings, names: Names, stop: threading.Event) -> Restored:
    group = "standfast-stream-restore"  # never joined, but librdkafka needs a group.id
    # fetch.wait.max.ms: the end of an empty partition is reported at once.
    config = {"enable.partition.eof": True, "fetch.wait.max.ms": 10}
    admin = AdminClient(clients.base(settings, "stream-restore"))
    ids = ids_of(admin, names.all)
    source = source_of(admin, names.profiles, _REQUEST_TIMEOUT_S)
    profile_file = open_profile_file(folder("run", "stream", "profiles"), source.identity)
    consumer = Consumer(clients.consumer(settings, "stream-restore", group, **config))
    try:
        partitions = _partitions(consumer, names.profiles)
        records = _catch_up(consumer, names.profiles, partitions, profile_file, stop)
        return Restored(
            profile_file=profile_file,
            ends=dict.fromkeys(partitions, 0) | profile_file.positions,
            published_until=_published_until(consumer, names.traffic, stop),
            ids=ids,
            records=records,
        )
    except BaseException as error:
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            profile_file.give_up()
        profile_file.close()
        raise
    finally:
        consumer.close()


def _catch_up(
    consumer: Consumer, topic: str, partitions: list[int], profile_file: ProfileFile, stop: threading.Event
) -> int:
    """Reads the topic to its end into the file; returns the number of records read."""
    positions, records = profile_file.positions, 0
    changes, ends = dict[ProfileKey, bytes | None](), dict[int, int]()
    starts = [TopicPartition(topic, partition, positions.get(partition, 0)) for partition in partitions]
    for message in _to_the_end(consumer, starts, stop):
        partition, records = message.partition() or 0, records + 1
        changes[partition, message.key() or b""] = message.value()
        ends[partition] = (message.offset() or 0) + 1
        if records % _RECORDS_AT_ONCE == 0:
            profile_file.put(changes, ends)
            changes, ends = {}, {}
    profile_file.put(changes, ends)
    return records


def _published_until(consumer: Consumer, topic: str, stop: threading.Event) -> dict[str, int]:
    codec, ends, now = Codec(), dict[str, int](), time.time_ns() // 1_000_000
    tails = [_tail(consumer, topic, partition) for partition in _partitions(consumer, topic)]
    for message in _to_the_end(consumer, tails, stop):
        try:
            window, _ = codec.decode(message.value(), TrafficWindow)
        except SchemaError as error:
            _log.warning("not a window", topic=topic, offset=message.offset(), reason=str(error))
            continue
        if window.end <= now:  # nobody publishes a window before its end: another client wrote it
            ends[window.topic] = max(window.end, ends.get(window.topic, 0))
    return ends


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    partitions = list(consumer.list_topics(topic, timeout=_REQUEST_TIMEOUT_S).topics[topic].partitions)
    if not partitions:  # leaders are being elected; taking the topic for empty would overwrite every profile
        raise TopicError(f"{topic} shows no partitions yet")
    return partitions


def _tail(consumer: Consumer, topic: str, partition: int) -> TopicPartition:
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_REQUEST_TIMEOUT_S)
    return TopicPartition(topic, partition, max(low, high - _TAIL_RECORDS))


def _to_the_end(consumer: Consumer, starts: list[TopicPartition], stop: threading.Event) -> Iterator[Consumed]:
    """Every record from `starts` on, up to the end of each partition."""
    consumer.assign(starts)
    at_end: set[int] = set()
    while len(at_end) < len(starts):
        if stop.is_set():
            raise Stopped
        for message in cast("list[Consumed]", consumer.consume(1000, timeout=0.02)):
            error = message.error()
            if error is None:
                yield message
            elif is_partition_end(error):
                at_end.add(message.partition())
            else:
                _log.warning("reading back is held up", reason=error.str())
