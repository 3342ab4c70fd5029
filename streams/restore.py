"""What the stream processor reads back when partitions are assigned to it: profiles, and how far windows went out.

Blocking, and plain librdkafka: it reads `profiles` back faster than Faust's own recovery, and Faust gives up at
once on a Kafka that is not there yet.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.codec import Codec
from schemas.records import TrafficWindow
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import SchemaError, SettingsError, TopicError
from standfast.core.home import folder
from standfast.core.kafka_errors import error_of
from standfast.core.settings import Settings
from standfast.core.topics.topic_source import source_of
from streams.identities import ids_of
from streams.kept import Kept, Place, opened
from streams.names import Names

_log = structlog.get_logger()
_ASK_S = 2.0
_PAUSE_S = 0.5
# Enough for the last window of every topic, whichever share a partition.
_TAIL = 500

_PATIENCE_S = 15.0

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Restored:
    """The profiles, and where the last published window of each topic ends.

    `ends` is how far each partition of `profiles` was read, `ids` which topics there were when that began.
    `records`: how many of `profiles` were read to catch up.
    """

    kept: Kept
    ends: dict[int, int]
    published_until: dict[str, int]
    ids: dict[str, str]
    records: int


class Stopped(Exception):
    """The processor was told to stop before it had begun."""


def wait_for_topics(settings: Settings, names: Names, stop: threading.Event) -> None:
    """Returns once Kafka answers and all our topics are there; says what it waits for.

    Raises:
        Stopped: `stop` was set first.
        SettingsError: a `KAFKA_*` setting the client does not know.
    """
    try:
        admin = AdminClient(clients.base(settings, "stream-start"))
    except KafkaException as error:
        raise SettingsError(f"Kafka's client refuses its settings: {error_of(error).str()}; correct KAFKA_*") from None
    said = ""
    while not stop.is_set():
        waiting = ""
        try:
            partitions = {
                name: len(about.partitions) for name, about in admin.list_topics(timeout=_ASK_S).topics.items()
            }
            missing = [name for name in names.all if not partitions.get(name)]
            waiting = f"topics are missing: {', '.join(missing)}; `standfast topics` creates them" if missing else ""
        except KafkaException as error:
            waiting = f"Kafka at {settings.kafka.bootstrap_servers} does not answer: {error_of(error).str()}"
        if not waiting:
            return
        if waiting != said:
            _log.warning("waiting for kafka", reason=waiting)
            said = waiting
        stop.wait(_PAUSE_S)
    raise Stopped


def read(settings: Settings, names: Names, stop: threading.Event) -> Restored:
    """The state as the topics have it now, tried until it could be read; raises Stopped if `stop` is set first."""
    said = ""
    while not stop.is_set():
        try:
            return _read(settings, names, stop)
        except (KafkaException, TopicError, sqlite3.Error, OSError) as error:
            if str(error) != said:
                _log.warning("state cannot be read back yet, trying again", reason=str(error))
            said = str(error)
            stop.wait(_PAUSE_S)
    raise Stopped


def _read(settings: Settings, names: Names, stop: threading.Event) -> Restored:
    group = "standfast-stream-restore"  # never joined; the client wants a name for it
    # an empty partition says so at once
    more = {"enable.partition.eof": True, "fetch.wait.max.ms": 10}
    admin = AdminClient(clients.base(settings, "stream-restore"))
    ids = ids_of(admin, names.all)
    kept = opened(folder("run", "stream", "profiles"), source_of(admin, names.profiles, _PATIENCE_S).identity)
    consumer = Consumer(clients.consumer(settings, "stream-restore", group, **more))
    try:
        places = _places(consumer, names.profiles)
        records = _catch_up(consumer, names.profiles, places, kept, stop)
        return Restored(
            kept=kept,
            ends=dict.fromkeys(places, 0) | kept.positions,
            published_until=_published_until(consumer, names.traffic, stop),
            ids=ids,
            records=records,
        )
    except BaseException as error:
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            kept.give_up()
        kept.close()
        raise
    finally:
        consumer.close()


def _catch_up(consumer: Consumer, topic: str, places: list[int], kept: Kept, stop: threading.Event) -> int:
    """Has the file hold what the topic holds; how many records that took."""
    known, records = kept.positions, 0
    changes, ends = dict[Place, bytes | None](), dict[int, int]()
    for message in _to_the_end(consumer, [TopicPartition(topic, place, known.get(place, 0)) for place in places], stop):
        place, records = message.partition() or 0, records + 1
        changes[place, message.key() or b""] = message.value()
        ends[place] = (message.offset() or 0) + 1
        if records % _AT_ONCE == 0:
            kept.put(changes, ends)
            changes, ends = {}, {}
    kept.put(changes, ends)
    return records


def _published_until(consumer: Consumer, topic: str, stop: threading.Event) -> dict[str, int]:
    codec, ends = Codec(), dict[str, int]()
    tails = [_tail(consumer, topic, place) for place in _places(consumer, topic)]
    for message in _to_the_end(consumer, tails, stop):
        try:
            window, _ = codec.decode(message.value(), TrafficWindow)
        except SchemaError as error:
            _log.warning("not a window", topic=topic, offset=message.offset(), reason=str(error))
            continue
        ends[window.topic] = max(window.end, ends.get(window.topic, 0))
    return ends


def _places(consumer: Consumer, topic: str) -> list[int]:
    places = list(consumer.list_topics(topic, timeout=_PATIENCE_S).topics[topic].partitions)
    if not places:  # a topic whose leaders are being elected; to take it for empty would overwrite every profile
        raise TopicError(f"{topic} shows no partitions yet")
    return places


def _tail(consumer: Consumer, topic: str, partition: int) -> TopicPartition:
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_PATIENCE_S)
    return TopicPartition(topic, partition, max(low, high - _TAIL))


def _to_the_end(consumer: Consumer, starts: list[TopicPartition], stop: threading.Event) -> Iterator[Consumed]:
    """Every record up to the end each partition has when it is reached."""
    consumer.assign(starts)
    reached: set[int] = set()
    while len(reached) < len(starts):
        if stop.is_set():
            raise Stopped
        for message in cast("list[Consumed]", consumer.consume(1000, timeout=0.02)):
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - how the client names it
                reached.add(message.partition())
            else:
                _log.warning("reading back is held up", reason=error.str())
