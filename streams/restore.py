"""What a fresh stream processor reads before it starts: the profiles, and how far the windows were published.

Blocking, and plain librdkafka: it reads `profiles` back faster than Faust's own recovery, and Faust gives up at
once on a Kafka that is not there yet.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.codec import Codec
from schemas.records import TrafficWindow
from standfast import clients
from standfast.errors import SchemaError, TopicError
from standfast.settings import Settings
from streams.names import Names

_log = structlog.get_logger()
_ASK_S = 2.0
_PAUSE_S = 0.5
# Enough for the last window of every topic, whichever share a partition.
_TAIL = 500

Profiles = dict[int, dict[bytes, bytes]]


class Stopped(Exception):
    """The processor was told to stop before it had begun."""


def wait_for_topics(settings: Settings, names: Names, stop: threading.Event) -> dict[str, int]:
    """Partitions of every topic, once Kafka answers and all of ours are there; says what it waits for.

    Raises:
        Stopped: `stop` was set first.
        TopicError: `profiles` has not as many partitions as `interactions`.
    """
    admin = AdminClient(clients.base(settings, "stream-start"))
    said = ""
    while not stop.is_set():
        waiting = ""
        try:
            found = {name: len(about.partitions) for name, about in admin.list_topics(timeout=_ASK_S).topics.items()}
            missing = [name for name in names.all if not found.get(name)]
            waiting = f"topics are missing: {', '.join(missing)}; `standfast topics` creates them" if missing else ""
        except KafkaException as error:
            waiting = f"Kafka at {settings.kafka.bootstrap_servers} does not answer: {error.args[0].str()}"
        if not waiting:
            _refuse_mismatch(found, names)
            return found
        if waiting != said:
            _log.warning("waiting for kafka", reason=waiting)
            said = waiting
        stop.wait(_PAUSE_S)
    raise Stopped


def _refuse_mismatch(found: dict[str, int], names: Names) -> None:
    if found[names.profiles] != found[names.interactions]:
        raise TopicError(
            f"{names.profiles} has {found[names.profiles]} partitions and {names.interactions} has "
            f"{found[names.interactions]}; a profile lies in the partition of its interactions, so give both as many"
        )


def profiles(settings: Settings, topic: str, partitions: int, stop: threading.Event) -> Profiles:
    """The bytes of every profile by partition and user; a user may have one in several partitions."""
    found: Profiles = {partition: {} for partition in range(partitions)}
    consumer = Consumer(_configuration(settings))
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in found])
        for message in _to_the_end(consumer, partitions, stop):
            key, value = message.key(), message.value()
            of = found[message.partition() or 0]
            if key is None or value is None:
                of.pop(key or b"", None)
            else:
                of[key] = value
    finally:
        consumer.close()
    return found


def published_until(settings: Settings, topic: str, partitions: int, stop: threading.Event) -> dict[str, int]:
    """Where the last published window of each topic ends."""
    codec, ends = Codec(), dict[str, int]()
    consumer = Consumer(_configuration(settings))
    try:
        consumer.assign([_tail(consumer, topic, partition) for partition in range(partitions)])
        for message in _to_the_end(consumer, partitions, stop):
            try:
                window, _ = codec.decode(message.value(), TrafficWindow)
            except SchemaError as error:
                _log.warning("not a window", topic=topic, offset=message.offset(), reason=str(error))
                continue
            ends[window.topic] = max(window.end, ends.get(window.topic, 0))
    finally:
        consumer.close()
    return ends


def _tail(consumer: Consumer, topic: str, partition: int) -> TopicPartition:
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10.0)
    return TopicPartition(topic, partition, max(low, high - _TAIL))


def _to_the_end(consumer: Consumer, partitions: int, stop: threading.Event) -> Iterator[Message]:
    """Every record up to the end each partition has when it is reached."""
    reached: set[int | None] = set()
    while len(reached) < partitions:
        if stop.is_set():
            raise Stopped
        for message in consumer.consume(1000, timeout=0.2):
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - how the client names it
                reached.add(message.partition())
            else:
                _log.warning("reading back is held up", reason=error.str())


def _configuration(settings: Settings) -> clients.Config:
    # the group is never joined; the client wants a name for it
    return clients.consumer(
        settings,
        "stream-restore",
        "standfast-stream-restore",
        **{"enable.partition.eof": True, "fetch.wait.max.ms": 10},  # an empty partition says so at once
    )
