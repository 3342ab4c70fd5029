"""Reads the last answers back from the result topics, so that a restart forgets none that an interaction may name."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import cast

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.codec import Codec
from schemas.records import Result
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import StandfastError
from standfast.core.kafka_errors import error_of, is_partition_end
from standfast.core.settings import Settings
from streams.feedback.shown import ShownAnswer, shown_answer
from streams.names import Names

_log = structlog.get_logger()
_ANSWER_S = 10.0
_WITHIN_S = 20.0  # for all of it: labels wait meanwhile
_AT_ONCE = 1000


def recent_answers(settings: Settings, names: Names, stop: threading.Event) -> list[ShownAnswer]:
    """The answers of the last `stream.feedback_s`, `stream.feedback_answers` at most; blocks for 20 s at most.

    What cannot be read is logged and left out.
    """
    group = "standfast-stream-answers"  # never joined, but librdkafka needs a group.id
    consumer = Consumer(clients.consumer(settings, group, group, **{"enable.partition.eof": True}))
    found: list[ShownAnswer] = []
    try:
        starts = [start for topic in sorted(names.results) for start in _starts(consumer, topic, settings)]
        consumer.assign(starts)
        for message in _to_the_end(consumer, len(starts), stop):
            answer = _answer(message, names)
            found += [answer] if answer is not None else []
    except KafkaException as error:
        _log.warning("answers of before cannot be read back; labels of them are lost", reason=error_of(error).str())
    finally:
        consumer.close()
    return found


def _starts(consumer: Consumer, topic: str, settings: Settings) -> Iterator[TopicPartition]:
    partitions = list(consumer.list_topics(topic, timeout=_ANSWER_S).topics[topic].partitions)
    since = time.time_ns() // 1_000_000 - round(settings.stream.feedback_s * 1000)
    wanted = [TopicPartition(topic, number, since) for number in partitions]
    each = -(-settings.stream.feedback_answers // max(1, len(partitions)))
    for at in consumer.offsets_for_times(wanted, timeout=_ANSWER_S):
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, at.partition), timeout=_ANSWER_S)
        first = at.offset if at.offset >= 0 else high  # below 0: no record is as young
        # Every answer is followed by a transaction's marker at most, which has an offset too.
        yield TopicPartition(topic, at.partition, max(low, first, high - 2 * each))


def _to_the_end(consumer: Consumer, partitions: int, stop: threading.Event) -> Iterator[Consumed]:
    at_end: set[tuple[str, int]] = set()
    until = time.monotonic() + _WITHIN_S
    while len(at_end) < partitions and not stop.is_set():
        if time.monotonic() > until:
            _log.warning("answers of before are not all read back; labels of some are lost")
            return
        for message in cast("list[Consumed]", consumer.consume(_AT_ONCE, 0.05)):
            if message.error() is None:
                yield message
            elif is_partition_end(message.error()):
                at_end.add((message.topic(), message.partition()))


def _answer(message: Consumed, names: Names) -> ShownAnswer | None:
    try:
        result, _ = Codec().decode(message.value(), Result)
    except StandfastError:
        return None
    return shown_answer(names.results[message.topic()], message.key(), result, message.timestamp()[1])
